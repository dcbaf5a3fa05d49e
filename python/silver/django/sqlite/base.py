"""The backend: Django's for SQLite on the transaction's connection."""

from django.db.backends.signals import connection_created
from django.db.backends.sqlite3 import base

import silver
from silver.django._shared import Sharing


class DatabaseWrapper(Sharing, base.DatabaseWrapper):
    service = "sqlite"

    def _opening(self, transaction):
        if self._wanted_mode == "IMMEDIATE":
            transaction.expect_writing()

    @property
    def _wanted_mode(self):
        """Django 5.1 and later have this option; earlier ones get it here."""
        return str(self.settings_dict["OPTIONS"].get("transaction_mode") or "").upper()

    def get_connection_params(self):
        parameters = super().get_connection_params()
        parameters.pop("transaction_mode", None)
        return parameters

    def _service_settings(self):
        return {"NAME": silver.config("sqlite_path", "")}

    def _welcome(self, shared):
        """Django's functions are registered by what makes its connections; that is given the one that is there."""
        if getattr(shared, "knows_django", False):
            return
        parameters = {**self.get_connection_params(), "factory": lambda *arguments, **keywords: shared}
        self.get_new_connection(parameters)
        shared.knows_django = True
        connection_created.send(sender=self.__class__, connection=self)

    def create_cursor(self, name=None):
        cursor = super().create_cursor(name)
        cursor.row_factory = None  # whatever others have set
        return cursor
