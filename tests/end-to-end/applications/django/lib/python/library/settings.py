"""The settings come from where the application is run: CONFIG_ variables say what its services are."""
import os

SECRET_KEY = os.environ["CONFIG_SECRET"]
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "library",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]},
}]
ROOT_URLCONF = "library.urls"
STATIC_URL = "/admin-media/"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True

if "CONFIG_PG_DBNAME" in os.environ:
    DATABASES = {"default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["CONFIG_PG_DBNAME"], "USER": os.environ["CONFIG_PG_USER"],
        "PASSWORD": os.environ["CONFIG_PG_PASSWORD"], "HOST": os.environ["CONFIG_PG_HOST"],
        "PORT": os.environ.get("CONFIG_PG_PORT", ""),
    }}
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["CONFIG_SQLITE_PATH"]}}
