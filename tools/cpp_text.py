"""Reads C++ just well enough for tools/tidy.py: blanks out comments and literals, finds functions.

Not a parser. What it cannot see (a function that only a macro makes) it leaves out.
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r'//[^\n]*'                                    # line comment
    r'|/\*.*?\*/'                                  # block comment
    r'|R"(?P<tag>[^\s()\\]{0,16})\(.*?\)(?P=tag)"'  # raw string
    r'|"(?:\\.|[^"\\\n])*"'                        # string
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",       # character, not a digit separator
    re.DOTALL)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def without_literals(text: str) -> str:
    """The code with comments and the insides of literals turned into spaces; same offsets."""
    def replace(match: re.Match) -> str:
        token = match.group(0)
        if token.startswith(("//", "/*")):
            return _blank(token)
        return token[0] + _blank(token[1:-1]) + token[-1]
    return _TOKEN.sub(replace, text)


def comments(text: str):
    """(offset, comment) of every comment."""
    for match in _TOKEN.finditer(text):
        if match.group(0).startswith(("//", "/*")):
            yield match.start(), match.group(0)


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


class Function(NamedTuple):
    name: str
    first_line: int
    line_count: int


_SCOPE = re.compile(r"^(?:inline\s+)?(?:namespace\b|extern\s*$)|^(?:template\s*<.*>\s*)?"
                    r"(?:class|struct|union|enum)\b", re.DOTALL)
_CONTROL = re.compile(r"^(?:if|for|while|switch|catch|do|else|try|return)\b")
_FUNCTION_END = re.compile(
    r"\)\s*(?:const\b|noexcept(?:\([^()]*\))?|override\b|final\b|mutable\b|&&|&|"
    r"->\s*[^{};]+|:\s.*[)}]|\s)*$", re.DOTALL)
_LABEL = re.compile(r"^\s*(?:public|private|protected)\s*:")
_NAME = re.compile(r"([~\w:]+|operator\s*\S+)\s*\(")


def _is_scope(header: str) -> bool:
    # "struct X f() {" returns a struct; it does not begin one.
    return bool(_SCOPE.match(header)) and not _FUNCTION_END.search(header)


def functions(text: str):
    """Every function with a body, lambdas inside counted to the function around them."""
    code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: _blank(m.group(0)),
                  without_literals(text), flags=re.MULTILINE)
    blocks: list[tuple[str, int, str]] = []  # (kind, start of the header, name)
    header_begin = 0
    inside = 0  # function blocks that are open
    for match in re.finditer(r"[{};]", code):
        offset, symbol = match.start(), match.group(0)
        if symbol == "{":
            header = _LABEL.sub("", code[header_begin:offset]).lstrip()
            first = offset - len(header)
            header = header.rstrip()
            kind, name = "other", ""
            if not inside:
                if _is_scope(header):
                    kind = "scope"
                elif _FUNCTION_END.search(header) and not _CONTROL.match(header) \
                        and not re.search(r"=\s*(?:\[|$)", header):
                    kind = "function"
                    found = _NAME.search(header)
                    name = found.group(1) if found else header[:40]
                    inside += 1
            blocks.append((kind, first, name))
            if kind in ("scope", "function"):
                header_begin = offset + 1
        elif symbol == "}":
            kind, begin, name = blocks.pop() if blocks else ("other", offset, "")
            if kind == "function":
                inside -= 1
                first = line_of(code, begin)
                yield Function(name, first, line_of(code, offset) - first + 1)
            if kind in ("scope", "function"):
                header_begin = offset + 1
        elif not any(kind == "other" for kind, _, _ in blocks):
            header_begin = offset + 1
