from __future__ import annotations

import pytest

from provisioning.core.declare import ParamSpec
from provisioning.core.params import PARAM_TYPES, fill_params, fits, param_faults

SPECS = {
    "port": ParamSpec(type="integer", default=6379),
    "members": ParamSpec(type="list", required=True, description="every member"),
    "password": ParamSpec(type="secret"),
}


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        pytest.param({"members": [], "prot": 1}, "unknown_param", "$.p.prot", id="unknown"),
        pytest.param({"members": "a"}, "param_type", "$.p.members", id="wrong type"),
        pytest.param({"members": [], "port": True}, "param_type", "$.p.port", id="true is no integer"),
        pytest.param({}, "missing_param", "$.p", id="missing"),
    ],
)
def test_params_are_checked_against_their_declaration(given: dict[str, object], code: str, path: str) -> None:
    [fault] = param_faults("redis", SPECS, given, "$.p")
    assert (fault.code, fault.path) == (code, path)


def test_an_unknown_param_is_answered_with_the_nearest_name() -> None:
    assert param_faults("redis", SPECS, {"members": [], "prot": 1})[0].hint == 'did you mean "port"?'


def test_a_taskserv_that_declares_no_params_takes_any() -> None:
    assert param_faults("mine", {}, {"whatever": 1}) == []


def test_every_declared_param_has_a_value_of_its_type() -> None:
    specs = {name: ParamSpec(type=name) for name in PARAM_TYPES}
    assert all(fits(name, value) for name, value in fill_params(specs, {}).items())


def test_what_a_node_gives_wins_over_the_default() -> None:
    filled = fill_params(SPECS, {"port": 7000})
    assert filled == {"port": 7000, "members": (), "password": ""}
