"""The backend: Django's for PostgreSQL on the transaction's connection."""

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from django.db.backends.signals import connection_created

import silver
from silver.django._shared import Sharing

try:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3
except ImportError:  # before Django 4.2
    is_psycopg3 = False
if is_psycopg3:
    raise ImproperlyConfigured("silver.django.postgres shares connections of psycopg2, and Django takes psycopg 3 where both are "
                               "installed: remove the package psycopg")

import psycopg2.extensions  # noqa: E402

# What Django's JSONField decodes itself: a type of its cursors only, not of the connection, which others use, too.
_JSONB = psycopg2.extensions.new_type((3802,), "JSONB", lambda value, cursor: value)


class DatabaseWrapper(Sharing, base.DatabaseWrapper):
    service = "postgres"

    def _service_settings(self):
        return {key: silver.config(name, "") for key, name in {
            "NAME": "pg_dbname", "USER": "pg_user", "PASSWORD": "pg_password", "HOST": "pg_host", "PORT": "pg_port"}.items()}

    def _welcome(self, shared):
        self.ensure_timezone()
        if not getattr(shared, "knows_django", False):
            shared.knows_django = True
            connection_created.send(sender=self.__class__, connection=self)

    def create_cursor(self, name=None):
        state = self._state()
        if state is self._own:
            return super().create_cursor(name)
        # A cursor of the server's is read on by a body that is streamed after the commit.
        options = {"scrollable": False, "withhold": True} if name else {}
        cursor = state.connection.cursor(name, cursor_factory=psycopg2.extensions.cursor, **options)
        psycopg2.extensions.register_type(_JSONB, cursor)
        cursor.tzinfo_factory = self.tzinfo_factory if base.settings.USE_TZ else None
        return cursor
