"""Every refusal has its status, its code and a body with all four keys."""

import json

import httpx
import pytest
from support.chat import body, check_error
from support.server import MODEL, Server

MISSING, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"
UNSUPPORTED = "unsupported_parameter"
USER = {"role": "user", "content": "Hello"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}

# (field of the body, its bad value, code, param when it is not the field)
BAD_FIELDS = [
    ("model", None, MISSING, None),
    ("model", 5, TYPE, None),
    ("messages", None, MISSING, None),
    ("messages", "Hello", TYPE, None),
    ("messages", [], VALUE, None),
    ("messages", ["Hello"], TYPE, "messages[0]"),
    ("messages", [{"content": "Hello"}], VALUE, "messages[0].role"),
    ("messages", [USER, {"role": "king", "content": "Hello"}], VALUE, "messages[1].role"),
    ("messages", [{"role": "user"}], MISSING, "messages[0].content"),
    ("messages", [{"role": "user", "content": 5}], TYPE, "messages[0].content"),
    ("messages", [{"role": "user", "content": [IMAGE]}], UNSUPPORTED, "messages[0].content"),
    ("max_tokens", 0, VALUE, None),
    ("max_tokens", 1.5, TYPE, None),
    ("max_tokens", "8", TYPE, None),
    ("max_completion_tokens", -1, VALUE, None),
    ("temperature", "hot", TYPE, None),
    ("temperature", 2.1, VALUE, None),
    ("top_p", -0.1, VALUE, None),
    ("top_k", 1.5, TYPE, None),
    ("seed", "one", TYPE, None),
    ("n", 0, VALUE, None),
    ("n", 5, VALUE, None),
    ("presence_penalty", 3, VALUE, None),
    ("frequency_penalty", -3, VALUE, None),
    ("stop", 5, TYPE, None),
    ("stop", [1], TYPE, None),
    ("stop", [""], VALUE, None),
    ("stop", ["a", "b", "c", "d", "e"], VALUE, None),
    ("stream", "yes", TYPE, None),
    ("stream_options", {"include_usage": True}, VALUE, None),
    ("logit_bias", [1], TYPE, None),
    ("logit_bias", {"x": 1}, VALUE, None),
    ("logit_bias", {"5": 101}, VALUE, None),
    ("tools", [{"type": "web_search"}], UNSUPPORTED, "tools[0].type"),
    ("tool_choice", "required", VALUE, None),
    ("response_format", {"type": "xml"}, VALUE, "response_format.type"),
    ("logprobs", 3, TYPE, None),
    ("functions", [{"name": "f"}], UNSUPPORTED, None),
]


@pytest.fixture(scope="module")
def http(server: Server):
    with server.http(server.shared_key("user")) as client:
        yield client


@pytest.mark.parametrize(("field", "value", "code", "param"), BAD_FIELDS)
def test_bad_field(http: httpx.Client, field, value, code, param):
    answer = http.post("/v1/chat/completions", json=body(**{field: value}))
    error = check_error(answer, 400, code, param or field)
    assert error["type"] == "invalid_request_error"
    assert (param or field).rpartition(".")[2] in error["message"] or "supported" in \
        error["message"]


@pytest.mark.parametrize("field", ["tools", "stop", "n", "logprobs", "stream", "seed"])
def test_null_is_the_same_as_absent(http: httpx.Client, field):
    assert http.post("/v1/chat/completions", json=body(**{field: None})).status_code == 200


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", '"text"', '{"model": "demo",}', '{"model": "demo"} trailing',
    '{"model": "\udcff"}'.encode("utf-8", "surrogateescape"), '{"model": "\\ud800"}'])
def test_not_json(http: httpx.Client, text):
    answer = http.post("/v1/chat/completions", content=text)
    check_error(answer, 400, "invalid_json")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_too_deep(http: httpx.Client, opening, closing):
    def post(depth: int) -> httpx.Response:
        deep = opening * depth + "1" + closing * depth
        return http.post("/v1/chat/completions", content=json.dumps(body())[:-1] +
                         f', "x": {deep}' + "}")

    assert post(40).status_code == 200
    for depth in (80, 1000, 200_000):
        check_error(post(depth), 400, "json_too_deep")


def test_prompt_of_completions(http: httpx.Client):
    for prompt, code in ((None, MISSING), ("", VALUE), (5, TYPE), ([], VALUE),
                         (["a"] * 33, VALUE)):
        answer = http.post("/v1/completions", json={"model": MODEL, "prompt": prompt})
        check_error(answer, 400, code, "prompt")
    for prompt, code in ((["a", ""], VALUE), (["a", 5], TYPE)):
        answer = http.post("/v1/completions", json={"model": MODEL, "prompt": prompt})
        check_error(answer, 400, code, "prompt[1]")


def test_unknown_data_class(http: httpx.Client):
    answer = http.post("/v1/chat/completions", json=body(),
                       headers={"x-deepmoat-data-class": "cosmic"})
    check_error(answer, 400, VALUE, "x-deepmoat-data-class")


def test_unknown_address(http: httpx.Client):
    for path in ("/", "/v1", "/v1/chat/completions/", "/v1/images", "/../etc/passwd"):
        check_error(http.get(path), 404, "unknown_url")


def test_wrong_method_names_the_right_one(http: httpx.Client):
    answer = http.get("/v1/chat/completions")
    error = check_error(answer, 405, "method_not_allowed")
    assert "POST" in error["message"]
    assert answer.headers["allow"] == "POST"  # RFC 9110, 15.5.6
    assert set(http.delete("/admin/v1/keys").headers["allow"].split(", ")) == {"GET", "POST"}


def test_no_key(server: Server):
    with server.http() as nobody:
        answer = nobody.get("/v1/models")
        check_error(answer, 401, "missing_api_key")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        for authorization in ("", "Bearer", "Bearer x", "Basic dXNlcjpwYXNz", "dmk_live_x"):
            answer = nobody.get("/v1/models", headers={"authorization": authorization})
            assert answer.status_code == 401, authorization


@pytest.mark.parametrize(("role", "method", "path"), [
    ("user", "GET", "/admin/v1/status"),
    ("user", "GET", "/admin/v1/keys"),
    ("user", "POST", "/admin/v1/keys"),
    ("operator", "POST", "/admin/v1/keys"),
    ("operator", "GET", "/admin/v1/keys/key_00000000"),
    ("auditor", "POST", "/v1/chat/completions"),
    ("auditor", "GET", "/v1/models"),
    ("auditor", "GET", "/admin/v1/status"),
])
def test_role_without_the_permission(server: Server, role, method, path):
    with server.http(server.shared_key(role)) as client:
        answer = client.request(method, path, json=body())
    error = check_error(answer, 403, "permission_denied")
    assert error["type"] == "permission_error" and role in error["message"]


def test_body_too_large(server: Server):
    """The answer must arrive although the client is still sending."""
    large = json.dumps(body("x" * (9 * 1024 * 1024))).encode()
    for _ in range(5):
        with server.http(server.shared_key("user")) as client:
            check_error(client.post("/v1/chat/completions", content=large), 413,
                        "request_too_large")


def test_headers_too_large(server: Server):
    for _ in range(5):
        with server.http(server.shared_key("user")) as client:
            answer = client.get("/v1/models", headers={"x-large": "x" * 60_000})
            check_error(answer, 431, "headers_too_large")


def test_a_refusal_is_on_record_before_it_is_answered(server: Server, http: httpx.Client):
    answer = http.post("/v1/chat/completions", json=body(model="nobody-has-this"))
    result = server.result_of(answer.headers["x-request-id"])
    assert (result["outcome"], result["status"], result["reason"]) == (
        "refused", 404, "model_not_found")
    assert result["operator"] == "test-user" and result["ip_address"] == "127.0.0.1"
