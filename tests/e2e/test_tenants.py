"""Tenants that share one model: nobody sees another's cache, nobody waits behind another's flood,
and whoever comes too many is told when to come again."""

import random
import threading

import pytest
from support.chat import RunningStream, at_once, body, check_error
from support.program import model_file
from support.server import MODEL, Server, wait_for

CHAT = "/v1/chat/completions"
WORDS = ("river copper window harvest signal marble engine violet harbour ladder pepper summit "
         "bridge candle forest ticket anchor meadow velvet puzzle rocket silver garden thunder "
         "canvas walnut mirror beacon saddle timber lantern compass orchard pebble").split()
TENANTS = ("red", "green", "blue", "amber")
CANARY_ROUNDS = 80


def model(**more) -> list[dict]:
    return [{"name": MODEL, "path": str(model_file()), **more}]


def prose(seed: object, words: int) -> str:
    own = random.Random(str(seed))
    return " ".join(own.choice(WORDS) for _ in range(words))


def tenant_keys(server: Server, *tenants: str) -> dict[str, str]:
    return {name: server.key("user", f"client-{name}", "--tenant", name) for name in tenants}


def cached(answer: dict) -> int:
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def ask(server: Server, key: str, system: str, question: str, **more) -> dict:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    with server.http(key) as client:
        answer = client.post(CHAT, json=body(messages=messages, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_prefix_is_shared_inside_a_tenant_and_never_across(make_server):
    server = make_server({"model": model()}).start()
    keys = tenant_keys(server, "red", "green")
    system = prose("shared", 120)
    assert cached(ask(server, keys["red"], system, "One?")) == 0
    own = cached(ask(server, keys["red"], system, "Two?"))
    assert own > 100, "the second call of a tenant computes its system prompt again"
    assert cached(ask(server, keys["green"], system, "One?")) == 0, \
        "a tenant can see that another one sent this prompt"
    assert cached(ask(server, keys["green"], system, "Two?")) == own
    server.stop()


def test_a_public_prefix_is_shared_across_tenants_whole_or_not_at_all(make_server, tmp_path):
    public = tmp_path / "company.txt"
    public.write_text(prose("company", 120), encoding="utf-8")
    server = make_server({"model": model(public_prefixes=[str(public)])}).start()
    keys = tenant_keys(server, "red", "green")
    system = public.read_text(encoding="utf-8")
    assert cached(ask(server, keys["red"], system, "One?")) == 0
    assert cached(ask(server, keys["green"], system, "Two?")) > 100
    half = " ".join(system.split()[:60])
    assert cached(ask(server, keys["green"], half, "One?")) <= 8, \
        "half of a public prefix shows what others sent"
    server.stop()


def test_canaries_never_cross_under_eviction(make_server):
    """Each tenant's prompts carry its marker; memory holds only a few of them at once."""
    server = make_server({"model": model(cells=512, spill_mib=1)}).start()
    keys = tenant_keys(server, *TENANTS)
    markers = {name: f"{name.upper()}-{random.Random(name).randrange(10**8):08d}"
               for name in TENANTS}
    seen: dict[str, set[str]] = {name: set() for name in TENANTS}

    def one_round(number: int) -> None:
        name = TENANTS[number % len(TENANTS)]
        # Texts are the same for all tenants but for the marker at the end of the system prompt, so
        # every tenant would find the others' prefix if it could.
        topic = random.Random(number).randrange(12)
        shared = f"Topic {topic}: {prose(topic, 24)}."
        answer = ask(server, keys[name], f"{shared} The secret is {markers[name]}.",
                     "Repeat the secret.", max_tokens=8)
        text = answer["choices"][0]["message"]["content"]
        foreign = [other for other in TENANTS if other != name and markers[other] in text]
        assert not foreign, f"{name} reads the marker of {foreign}"
        if shared not in seen[name]:
            # What it may have cached at most: the template's own beginning, or the other topics'
            # first words.
            assert cached(answer) < 16, \
                f"{name} finds {cached(answer)} tokens that it never sent"
        seen[name].add(shared)

    for start in range(0, CANARY_ROUNDS, 8):
        # All tenants at once, each with one call after the other.
        at_once(4, lambda k, start=start: [one_round(start + 4 * i + k) for i in range(2)])
    server.stop()


def test_a_flood_does_not_hold_up_a_quiet_tenant(make_server):
    server = make_server({"model": model(max_batch_size=4)}).start()
    keys = tenant_keys(server, "flood", "quiet")
    order: list[str] = []
    lock = threading.Lock()

    def flood(number: int) -> None:
        ask(server, keys["flood"], "Be brief.", f"{number} {prose(number, 30)}?", max_tokens=32,
            ignore_eos=True)
        with lock:
            order.append("flood")

    def quiet() -> None:
        ask(server, keys["quiet"], "Be brief.", "Hello?", max_tokens=4)
        with lock:
            order.append("quiet")

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    wait_for("calls wait", lambda: server.model_status()["waiting"] >= 16, 60)
    late = threading.Thread(target=quiet)
    late.start()
    for thread in [*threads, late]:
        thread.join()
    # First come, first served would let at least the sixteen that wait go before.
    after = len(order) - 1 - order.index("quiet")
    assert after >= 16, f"only {after} of the flood's 32 calls ended after the quiet tenant's"
    server.stop()


def test_a_full_queue_says_when_to_come_again(make_server):
    server = make_server({"model": model(max_batch_size=1),
                          "limits": {"queue_per_tenant": 2, "queue_total": 16}}).start()
    keys = tenant_keys(server, "red", "green")
    running = RunningStream(server, keys["red"], 400)
    running.wait_begun()

    def call(_: int):
        with server.http(keys["red"]) as client:
            return client.post(CHAT, json=body(max_tokens=2))

    answers = at_once(6, call)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 3, [answer.status_code for answer in answers]
    assert {answer.status_code for answer in answers} == {200, 429}
    for answer in refused:
        check_error(answer, 429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
    with server.http(keys["green"]) as client:
        assert client.post(CHAT, json=body(max_tokens=1)).status_code == 200, \
            "one tenant's full queue is another's too"
    running.join()
    server.stop()


def test_a_call_that_waits_too_long_is_told_so(make_server):
    server = make_server({"model": model(max_batch_size=1), "limits": {"wait_s_max": 1}}).start()
    keys = tenant_keys(server, "red")
    running = RunningStream(server, keys["red"], 600)
    running.wait_begun()
    with server.http(keys["red"]) as client:
        answer = client.post(CHAT, json=body(max_tokens=2))
    # The stream before it may have ended in time on a fast machine; then there was no wait.
    if answer.status_code != 200:
        check_error(answer, 429, "queue_timeout")
        assert int(answer.headers["retry-after"]) >= 1
    else:
        assert running.done, "it was answered while the only place was taken"
    running.join()
    server.stop()


@pytest.mark.parametrize("spill_mib", [0, 64])
def test_memory_too_small_for_all_fails_nobody(make_server, spill_mib):
    """Calls that fit alone and not together: llama-server answers 500 to all of them."""
    server = make_server({"model": model(cells=1024, spill_mib=spill_mib)}).start()
    keys = tenant_keys(server, "red", "green")

    def call(number: int) -> dict:
        name = ("red", "green")[number % 2]
        return ask(server, keys[name], prose(number, 100), "Go on.", max_tokens=220,
                   ignore_eos=True)

    answers = at_once(6, call)
    assert [a["usage"]["completion_tokens"] for a in answers] == [220] * 6
    alone = call(3)
    assert alone["choices"][0]["message"]["content"]
    with server.http(keys["red"]) as client:
        answer = client.post(CHAT, json=body(prose("long", 1300)))
    error = check_error(answer, 400, "context_length_exceeded", "messages")
    assert "1024" in error["message"]
    server.stop()
