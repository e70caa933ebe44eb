from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from readerstudy.accounts.models import Invitation, User
from readerstudy.accounts.services import accept_invitation, create_user, invite
from readerstudy.audit.models import AuditEvent
from readerstudy.errors import UserError
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
LOGIN, PAGE = "/accounts/login/", "/people/profile/"


def sign_in(client: Client, email: str, password: str = PASSWORD, **extra):
    return client.post(LOGIN, {"login": email, "password": password, **extra})


def test_signing_in_rotates_the_session_and_signing_out_clears_it(reader):
    client = Client()
    client.get(LOGIN)
    before = client.session.session_key
    assert sign_in(client, reader.email)["Location"] == "/"
    assert AuditEvent.objects.filter(action="accounts.signed_in", actor=reader).count() == 1
    assert client.session.session_key not in {None, before}
    assert client.get(PAGE).status_code == 200
    client.post("/accounts/logout/")
    assert client.get(PAGE)["Location"].startswith(LOGIN)


def test_S1_too_many_wrong_passwords_lock_that_account_only(reader, peer_reader):
    client = Client()
    for _ in range(6):
        sign_in(client, reader.email, "wrong password here")
    locked = sign_in(Client(), reader.email)
    assert "Location" not in locked
    assert sign_in(Client(), peer_reader.email)["Location"] == "/"


def test_S1_unknown_and_known_addresses_get_the_same_answer(reader):
    answers = []
    for email in (reader.email, "unknown@example.org"):
        page = sign_in(Client(), email, "wrong password here").content.decode()
        page = re.sub(r'(csrfmiddlewaretoken" value=|X-CSRFToken": )"[^"]+"', "", page)
        answers.append(page.replace(email, "EMAIL"))
    assert "notice-error" in answers[0]
    assert answers[0] == answers[1]


def test_S10_an_external_next_address_is_ignored(reader):
    response = sign_in(Client(), reader.email, next="https://evil.example/")
    assert response["Location"] == "/"


def test_sign_up_is_closed(db):
    page = Client().get("/accounts/signup/")
    assert b"invitation" in page.content
    Client().post(
        "/accounts/signup/",
        {"email": "x@example.org", "password1": PASSWORD, "password2": PASSWORD},
    )
    assert not User.objects.exists()


def test_S2_an_invitation_opens_once_and_is_stored_hashed(coordinator):
    user = create_user("new@example.org", actor=coordinator)
    token = invite(user, actor=coordinator)
    assert not Invitation.objects.filter(token_sha256=token).exists()
    url = reverse("accounts:invitation", args=[token])
    client = Client()
    assert b"new@example.org" in client.get(url).content
    done = client.post(url, {"password1": PASSWORD, "password2": PASSWORD})
    assert done["Location"] == "/"
    assert client.get(PAGE).status_code == 200
    assert Client().get(url).status_code == 404
    with pytest.raises(UserError):
        accept_invitation(token, PASSWORD)


def test_the_sign_in_by_an_invitation_is_listed_and_logged(coordinator):
    user = create_user("new@example.org", actor=coordinator)
    client = Client(HTTP_USER_AGENT="Firefox on the reading room's workstation")
    url = reverse("accounts:invitation", args=[invite(user, actor=coordinator)])
    client.post(url, {"password1": PASSWORD, "password2": PASSWORD})
    assert b"Firefox" in client.get(reverse("usersessions_list")).content
    assert AuditEvent.objects.filter(action="accounts.signed_in", actor=user).count() == 1


def test_S3_a_link_for_a_lost_password_does_not_go_round_the_second_factor(reader):
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    TOTP.activate(reader, generate_totp_secret())
    client = Client()
    url = reverse("accounts:invitation", args=[invite(reader, actor=None)])
    asked = client.post(url, {"password1": PASSWORD, "password2": PASSWORD})
    assert asked["Location"] == reverse("mfa_authenticate")
    assert client.get(PAGE)["Location"].startswith(LOGIN)


def test_S2_an_expired_or_replaced_invitation_is_not_found(coordinator):
    user = create_user("new@example.org", actor=coordinator)
    first, second = invite(user, actor=coordinator), invite(user, actor=coordinator)
    assert Client().get(reverse("accounts:invitation", args=[first])).status_code == 404
    Invitation.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert Client().get(reverse("accounts:invitation", args=[second])).status_code == 404


@pytest.mark.parametrize("password", ["short", "password123456", "12345678901234"])
def test_S5_a_weak_password_is_refused_with_a_sentence(coordinator, password):
    user = create_user("new@example.org", actor=coordinator)
    url = reverse("accounts:invitation", args=[invite(user, actor=coordinator)])
    response = Client().post(url, {"password1": password, "password2": password})
    assert response.status_code == 200 and b"errors" in response.content
    user.refresh_from_db()
    assert not user.has_usable_password()


def test_S4_an_idle_session_ends(reader, client_for, settings):
    client = client_for(reader)
    assert client.get(PAGE).status_code == 200
    session = client.session
    session["seen"] -= settings.SESSION_IDLE_SECONDS + 5
    session.save()
    assert client.get(PAGE)["Location"].startswith(LOGIN)


def test_S4_a_session_ends_at_its_absolute_age(reader, client_for, settings):
    client = client_for(reader)
    client.get(PAGE)
    session = client.session
    session["started"] -= settings.SESSION_COOKIE_AGE + 5
    session.save()
    assert client.get(PAGE)["Location"].startswith(LOGIN)


def test_S3_a_coordinator_must_set_up_a_second_factor_where_required(
    coordinator, reader, client_for, settings
):
    settings.REQUIRE_SECOND_FACTOR = True
    assert client_for(coordinator).get("/library/")["Location"] == reverse("mfa_activate_totp")
    assert client_for(reader).get(PAGE).status_code == 200


def test_an_address_that_is_none_is_refused(db):
    with pytest.raises(UserError, match="is not an e-mail address"):
        create_user("nobody at all")


def test_L6_a_changed_password_is_logged(reader, client_for):
    client = client_for(reader)
    new = "another long enough sentence"
    sign_in(client, reader.email)
    data = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert client.post("/accounts/password/change/", data).status_code == 302
    assert AuditEvent.objects.filter(action="accounts.password_changed", actor=reader).exists()
    assert sign_in(Client(), reader.email, new)["Location"] == "/"


def test_S3_a_second_factor_is_asked_for_and_a_code_works_once(reader, client_for):
    import time

    from allauth.mfa.totp.internal.auth import (
        TOTP,
        format_hotp_value,
        generate_totp_secret,
        hotp_value,
    )

    secret = generate_totp_secret()
    TOTP.activate(reader, secret)
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    client = Client()
    assert sign_in(client, reader.email)["Location"].startswith("/accounts/2fa/authenticate/")
    assert client.get(PAGE)["Location"].startswith(LOGIN)
    assert client.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert client.post("/accounts/2fa/authenticate/", {"code": code})["Location"] == "/"
    again = Client()
    sign_in(again, reader.email)
    assert again.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 200


def test_an_address_cannot_be_changed_by_its_owner(reader, client_for):
    assert client_for(reader).get("/accounts/email/").status_code == 404
