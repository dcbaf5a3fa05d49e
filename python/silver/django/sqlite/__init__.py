"""ENGINE = "silver.django.sqlite": the database of service.sqlite."""
