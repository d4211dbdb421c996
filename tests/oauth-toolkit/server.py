"""An authorization server: django-oauth-toolkit at its defaults, with clients that have the client-credentials grant.

    server.py ADDRESS:PORT DATABASE CLIENT:SECRET…
"""

import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.urls import include, path

address, database, *clients = sys.argv[1:]
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    OAUTH2_PROVIDER={"SCOPES": {"orders:read": "read orders", "introspection": "introspect tokens"}},
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests only",
    USE_TZ=True,
)
django.setup()
urlpatterns = [path("", include("oauth2_provider.urls", namespace="oauth2_provider"))]

call_command("migrate", verbosity=0)
from oauth2_provider.models import Application  # noqa: E402, only after `setup`

for client in clients:
    name, secret = client.split(":")
    Application.objects.create(
        client_id=name,
        client_secret=secret,
        # A slow hash on each call would only cost the tests their time.
        hash_client_secret=False,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
call_command("runserver", address, use_reloader=False, verbosity=0)
