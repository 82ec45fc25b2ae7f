"""The official OpenAI client, pointed at a server."""

import httpx
import openai

from support.server import CALL_WAIT_S, Server


def openai_client(server: Server, key: str) -> openai.OpenAI:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    transport = httpx.Client(verify=server.trust(), timeout=CALL_WAIT_S, limits=limits,
                             trust_env=False)
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0,
                         timeout=CALL_WAIT_S, http_client=transport)
