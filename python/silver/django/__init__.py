"""Django in the transaction of the request: DATABASES = {"default": {"ENGINE": "silver.django.sqlite"}}, or
"silver.django.postgres". Without NAME it is the application's own database, which its service gives. See _shared.py."""
