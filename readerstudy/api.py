"""The JSON API: one OpenAPI document, session sign-in, CSRF on every write."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import ValidationError
from ninja.security import SessionAuth

from readerstudy.errors import UserError

# SessionAuth checks the CSRF token of every write.
api = NinjaAPI(
    title="Reader study", version="1.0.0", auth=SessionAuth(), docs_url=None, urls_namespace="api"
)


@api.exception_handler(UserError)
def user_error(request: HttpRequest, error: UserError) -> HttpResponse:
    return api.create_response(request, {"detail": str(error)}, status=error.status)


@api.exception_handler(ValidationError)
def validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """One sentence instead of a list of objects."""
    first: dict[str, Any] = error.errors[0] if error.errors else {}
    where = ".".join(str(part) for part in first.get("loc", ()) if part not in {"body", "payload"})
    text = f"The field {where or 'body'} is not valid: {first.get('msg', 'see the API document')}."
    return api.create_response(request, {"detail": text}, status=422)


def mount_routers() -> None:
    from readerstudy.library.api import router as library
    from readerstudy.reading.api import router as reading

    api.add_router("/library", library)
    api.add_router("/reading", reading)


mount_routers()
