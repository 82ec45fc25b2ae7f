"""What the callers send. Prompts are made of words that most tokenizers know as one token each."""

import random
from dataclasses import dataclass

from load import Prompt

WORDS = ("time year people way day man thing woman life child world school state family student "
         "group country problem hand part place case week company system program question work "
         "government number night point home water room mother area money story fact month lot "
         "right study book eye job word business issue side kind head house service friend father "
         "power hour game line end member law car city community name").split()
CHAT_TAIL_TOKENS = 5  # "<|im_end|>\n<|im_start|>assistant\n": behind the question, never shared

SCHEMA = {"type": "object", "additionalProperties": False,
          "required": ["name", "age", "tags", "kind"],
          "properties": {"name": {"type": "string", "maxLength": 24},
                         "age": {"type": "integer", "minimum": 0, "maximum": 150},
                         "tags": {"type": "array", "maxItems": 3,
                                  "items": {"type": "string", "maxLength": 12}},
                         "kind": {"enum": ["person", "place", "thing"]}}}


def words(seed: str, count: int) -> str:
    own = random.Random(seed)
    return " ".join(own.choice(WORDS) for _ in range(count))


@dataclass(frozen=True)
class Case:
    """Prompts of `groups` groups; a group shares a system prompt of shared_words words."""
    name: str
    callers: int
    requests: int
    groups: int = 1
    shared_words: int = 0
    own_words: int = 12
    output_tokens: int = 32

    def prompt(self, seed: int, number: int, own_words: int | None = None) -> Prompt:
        count = self.own_words if own_words is None else own_words
        messages = []
        if self.shared_words:
            messages.append({"role": "system",
                             "content": words(f"{seed}/group{number % self.groups}",
                                              self.shared_words)})
        elif count > 1:  # not even a default system prompt in common
            messages.append({"role": "system", "content": f"{number} {words(f'{number}', 3)}"})
        text = words(f"{seed}/own{number}", count - 1)
        messages.append({"role": "user", "content": f"{number} {text}" if count > 1 else "a"})
        return Prompt(messages, self.output_tokens)

    def prompts(self, seed: int) -> list[Prompt]:
        return [self.prompt(seed, number) for number in range(self.requests)]


# Prompt 440 tokens, of which 418 are shared within a group.
CASES = (
    Case("shared-1x16", callers=16, requests=48, groups=1, shared_words=411, own_words=14),
    Case("shared-8x32", callers=32, requests=96, groups=8, shared_words=411, own_words=14),
    Case("distinct-16", callers=16, requests=48, own_words=425),
    Case("long-1x32", callers=32, requests=96, groups=1, shared_words=1980, own_words=14),
)
QUICK = {"shared-1x16": 32, "shared-8x32": 64, "distinct-16": 32, "long-1x32": 64}


def json_prompts(seed: int, count: int) -> list[Prompt]:
    texts = (f"Describe {words(f'{seed}/json{n}', 4)} as JSON." for n in range(count))
    return [Prompt([{"role": "user", "content": text}], 160, SCHEMA) for text in texts]
