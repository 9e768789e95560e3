"""Forms as structs, and what is wrong with each field."""

from __future__ import annotations

from edge_connector.platform_api import models as api
from edge_connector.platform_api import people
from edge_connector.platform_server.http.pages.forms import filled, password_problems


def test_a_form_becomes_the_struct_of_the_api() -> None:
    made, problems = filled(api.DeploymentRequest, {"name": " edge ", "description": "", "csrf": "x"})
    assert (made, problems) == (api.DeploymentRequest(name="edge"), {})
    rotate, _ = filled(people.RotateRequest, {"keep_old_for_s": "3600"})
    assert rotate == people.RotateRequest(keep_old_for_s=3600)
    assert filled(people.InviteRequest, {"email": "", "role": "admin"})[0] == people.InviteRequest(role="admin")


def test_every_wrong_field_is_named_at_once() -> None:
    made, problems = filled(
        api.SetupRequest, {"code": "c", "name": " ", "email": "nonsense", "organization": "x" * 101}
    )
    assert made is None and set(problems) == {"name", "email", "organization"}
    assert filled(people.RotateRequest, {"keep_old_for_s": "soon"})[1] == {"keep_old_for_s": "Choose one of the list."}
    assert set(filled(people.RoleRequest, {})[1]) == {"role"}


def test_a_new_password_is_long_enough_and_typed_twice() -> None:
    fine = {"password": "  blanks count  ", "password_again": "  blanks count  "}
    assert password_problems(fine, length=(10, 200)) == {}
    assert set(password_problems(fine | {"password_again": "x"}, length=(10, 200))) == {"password_again"}
    assert "this has 3." in password_problems({"password": "abc"}, length=(10, 200))["password"]
    assert "this has 0." in password_problems({}, length=(10, 200))["password"]
