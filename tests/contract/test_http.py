"""HTTP as clients and proxies really speak it."""

import json
import socket
import ssl

import pytest
from support.chat import LONG_STORY, body, events
from support.raw_http import RawConnection, request
from support.server import MODEL, Server

CHAT = "/v1/chat/completions"


@pytest.fixture
def raw(server: Server):
    with RawConnection(server.http_port) as connection:
        yield connection


@pytest.fixture
def key(server: Server) -> str:
    return server.shared_key("user")


def packed(**more) -> bytes:
    return json.dumps(body(**more)).encode()


def test_request_id_is_the_client_s_own_when_it_is_safe(server: Server, key):
    with server.http(key) as client:
        own = client.get("/v1/models", headers={"x-request-id": "order-66.a_B"})
        assert own.headers["x-request-id"] == "order-66.a_B"
        made = set()
        for bad in ("a b", "x" * 129, "a;b", ""):
            made.add(client.get("/v1/models", headers={"x-request-id": bad})
                     .headers["x-request-id"])
        assert len(made) == 4 and all(len(one) == 32 for one in made)
        assert len(client.get("/nowhere").headers["x-request-id"]) == 32


def test_pipelined_requests_are_answered_in_order(raw: RawConnection, key):
    raw.send(b"".join([
        request("POST", CHAT, key, packed(max_tokens=3), x_request_id="first"),
        request("GET", "/v1/models", key, x_request_id="second"),
        request("POST", CHAT, key, packed(max_tokens=2, stream=True), x_request_id="third"),
        request("GET", "/livez", None, x_request_id="fourth")]))
    answers = [raw.answer() for _ in range(4)]
    assert [a.headers["x-request-id"] for a in answers] == ["first", "second", "third", "fourth"]
    assert [a.status for a in answers] == [200] * 4
    assert json.loads(answers[0].body)["usage"]["completion_tokens"] == 3
    assert answers[2].body.endswith(b"data: [DONE]\n\n")


def test_request_in_small_pieces(raw: RawConnection, key):
    whole = request("POST", CHAT, key, packed(max_tokens=1))
    for begin in range(0, len(whole), 7):
        raw.send(whole[begin:begin + 7])
    assert raw.answer().status == 200


def test_chunked_request_body(raw: RawConnection, key):
    text = packed(max_tokens=1)
    half = len(text) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (text[:half], text[half:]))
    head = request("POST", CHAT, key, content_length=None, transfer_encoding="chunked")
    raw.send(head + chunks + b"0\r\n\r\n")
    assert raw.answer().status == 200


def test_expect_100_continue(raw: RawConnection, key):
    text = packed(max_tokens=1)
    whole = request("POST", CHAT, key, text, expect="100-continue")
    raw.send(whole[:-len(text)])
    assert raw.answer().status == 100
    raw.send(text)
    assert raw.answer().status == 200


def test_expect_100_continue_is_not_given_for_a_body_that_is_too_large(raw: RawConnection, key):
    raw.send(request("POST", CHAT, key, content_length="99999999", expect="100-continue"))
    assert raw.answer().status == 413


def test_http_1_0(raw: RawConnection, key):
    raw.send(request("GET", "/v1/models", key, version="1.0"))
    answer = raw.answer()
    assert answer.status == 200 and json.loads(answer.body)["data"][0]["id"] == MODEL
    assert raw.at_end()


def test_http_1_0_stream_ends_with_the_connection(raw: RawConnection, key):
    raw.send(request("POST", CHAT, key, packed(stream=True, max_tokens=3), version="1.0"))
    answer = raw.answer()
    assert "transfer-encoding" not in answer.headers
    assert list(events(answer.body.decode().splitlines()))[-1] == "[DONE]"


def test_connection_close_is_kept(raw: RawConnection, key):
    raw.send(request("GET", "/v1/models", key, connection="close"))
    assert raw.answer().headers["connection"] == "close"
    assert raw.at_end()


@pytest.mark.parametrize("junk", [
    b"GET\r\n\r\n", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    b"GET /livez HTTP/9.9\r\n\r\n", b"GET /livez HTTP/1.1\r\nbad header\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6"
    b"\r\n\r\nhello",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_junk_is_answered_and_the_connection_closed(raw: RawConnection, junk):
    raw.send(junk)
    answer = raw.answer()
    assert answer.status == 400
    assert set(json.loads(answer.body)["error"]) == {"message", "type", "param", "code"}
    assert raw.at_end()


def test_keep_alive_comments(server: Server, key):
    """The shared server sends one for each second of silence; a long prompt makes silence."""
    long_prompt = " ".join(f"Item {number} costs {number * 7} coins." for number in range(150))
    with server.http(key) as client, \
            client.stream("POST", CHAT, json=body(long_prompt, stream=True)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = list(answer.iter_lines())
    assert ": keep-alive" in lines
    assert list(events(lines))[-1] == "[DONE]"


def test_no_tls_below_1_3(server: Server):
    trust = ssl.create_default_context(cafile=str(server.ca))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain, \
            pytest.raises(ssl.SSLError):
        trust.wrap_socket(plain, server_hostname="localhost")


def test_certificate_is_of_localhost_and_loopback(server: Server):
    for name in ("localhost", "127.0.0.1"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain, \
                server.trust().wrap_socket(plain, server_hostname=name) as secured:
            assert secured.version() == "TLSv1.3"


def test_plain_http_on_the_tls_port_does_no_harm(server: Server):
    with RawConnection(server.port, 10) as raw:
        raw.send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        raw.at_end()
    with server.http() as client:
        assert client.get("/livez").status_code == 200


def test_health(server: Server):
    with server.http() as client:
        assert client.get("/livez").json()["status"] == "ok"
        assert client.get("/readyz").json()["status"] == "ready"
        assert client.get("/health").json() == {"status": "ok"}


def test_predict(server: Server, key):
    with server.http() as client:
        headers = {"X-API-KEY": key}
        answer = client.post("/api/predict", headers=headers, json={
            "prompt": "Name a colour.", "max_tokens": 5, "temperature": 0})
        assert answer.status_code == 200, answer.text
        predicted = answer.json()
        assert predicted["output"] and predicted["model"] == MODEL
        assert predicted["usage"]["completion_tokens"] <= 5
        chat = client.post(CHAT, headers=headers, json=body("Name a colour.", max_tokens=5)).json()
        assert chat["choices"][0]["message"]["content"] == predicted["output"]
        assert client.post("/api/predict", json={"prompt": "Hello"}).status_code == 401


def test_slow_client_does_not_hold_up_others(server: Server, key):
    """A reader that reads nothing, while another gets its answer."""
    with RawConnection(server.http_port) as slow, server.http(key) as client:
        slow.send(request("POST", CHAT, key, packed(
            text=LONG_STORY, max_tokens=200, stream=True, ignore_eos=True)))
        assert client.post(CHAT, json=body()).status_code == 200
    server.wait_idle(60)
