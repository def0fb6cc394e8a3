"""How a request says whose it is: an API key, or the login session of a browser."""

from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from project.accounts import keys
from project.accounts.models import ApiKey, User

CHALLENGE = 'Bearer realm="Parley"'


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer parley_...`; `request.auth` is the key."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        key = keys.find(secret.strip().decode("ascii", "replace"))
        if key is None:
            raise AuthenticationFailed("This API key is unknown, expired or revoked.", code="invalid_api_key")
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        return CHALLENGE


class LoginSessionAuthentication(SessionAuthentication):
    """The browser's login session, with CSRF enforced on every unsafe method."""

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        return CHALLENGE
