"""ENGINE = "silver.django.postgres": the database of service.postgres."""
