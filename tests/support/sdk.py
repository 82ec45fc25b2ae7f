"""The official clients, pointed at a server."""

import anthropic
import httpx
import openai

from support.server import CALL_WAIT_S, Server


def openai_client(server: Server, key: str) -> openai.OpenAI:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    transport = httpx.Client(verify=server.trust(), timeout=CALL_WAIT_S, limits=limits,
                             trust_env=False)
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0,
                         timeout=CALL_WAIT_S, http_client=transport)


def anthropic_client(server: Server, key: str) -> anthropic.Anthropic:
    transport = anthropic.DefaultHttpxClient(verify=server.trust(), timeout=CALL_WAIT_S,
                                             trust_env=False)
    return anthropic.Anthropic(base_url=server.url, api_key=key, max_retries=0,
                               timeout=CALL_WAIT_S, http_client=transport)
