"""Compares tests/env_files/corpus.json with what python-dotenv makes of each text, or writes it.

    pip install python-dotenv==1.2.*
    python tests/env_files/check.py            # exit 1 where the corpus and python-dotenv differ
    python tests/env_files/check.py --write    # the texts below, and as many made of their pieces

The corpus is what the program's reader is tested with (src/cli, `files_are_read_as_python_dotenv_reads_them`).
`variables` is null where python-dotenv skips a line, or knows a name without a value: the program refuses those files.
"""

import json
import logging
import os
import pathlib
import random
import sys
import tempfile

import dotenv

CORPUS = pathlib.Path(__file__).with_name("corpus.json")
ENVIRONMENT = {"HOME": "/home/ann", "EMPTY": ""}
RANDOM_TEXTS = 300

TEXTS = [
    "", "\n\n", "# only a comment", "A=1", "A=1\nB=2\n", "A=1\r\nB=2\r\n", "A=1\rB=2", "\ufeffA=1",
    "export FOO=bar", "export  FOO = bar", "export\tFOO=bar", "export=5", "export =5", "export", "exportFOO=1",
    "export A\n", "A", "A\nB=1", "=x", " = x", "A==x", "A=b=c", "A =b", "  A\t=\tb  ", "A=", "A= ", "A=\nB=1",
    'PW="p#ss" # prod', "PW='p#ss' # prod", "PW=p#ss", "PW=p#ss # prod", "PW=p #ss", "A=#b", "A= #b", "A= # b", "A=b#",
    "A=b\t# c", "A=b\u00a0# c", "A=b\u2003# c", "A=a # b # c", "A # b", "# A=1\nB=2", "  # A=1\nB=2", "A=1 # b\n# c\nD=2",
    'A="x"', "A='x'", 'A="x', "A='x", "A='\"", "A=\"'\"", 'A="x" y', "A='x'y", 'A="x"# c', 'A="x"\t# c',
    'A="a\nb"', "A='a\nb'", 'A="a\r\nb"', "A='a\n\nb' # c\nB=1", 'A="a # b\nc"', 'A=a"b"c', "A=a'b", "A=it's # x",
    r'A="a\nb"', r"A='a\nb'", r"A=a\nb", r'A="\t\r\v\f\a\b"', r'A="\\n"', r'A="\""', r"A='\''", r"A='\\'", r"A='C:\dir'",
    r"A='C:\'", r'A="C:\"', "A='C:\\'\nB='x'", r'A="\x41\u0041\0"', r'A="\'"', r"A='\"'", 'A="\\\n"', r'A="\$B"',
    "'A'=1", "'A B'=1", "'A=B'=1", "'A", "''=1", "'A\nB'=1", '"A"=1', "A.B-C=1", "1A=1", "A B=1", "ä=1", "A=ä", "A=日本語",
    "A=1\nA=2", "A=1\nB=2\nA=3", "A=1\nA=${A}${A}",
    "A=${HOME}", "A=$HOME", "A='${HOME}'", 'A="${HOME}"', "A=${NOWHERE}", "A=${NOWHERE:-x}", "A=${EMPTY:-x}", "A=${HOME:-x}",
    "HOME=/x\nA=${HOME}", "A=${B}\nB=1", "B=1\nA=${B}", "A=${HOME", "A=${", "A=${}", "A=${:-x}", "A=${HOME:x}", "A=${HOME:-}",
    "A=${NOWHERE:-${HOME}}", "A=${NOWHERE:-a:b}", "A=${X:a}${HOME}", "A=${X:${HOME}", "A=${${HOME}", "A=$${HOME}", "A=\\${HOME}",
    "A='${\nHOME}'", "A=${HOME:-x", "A=a${HOME}b${EMPTY}c", "A=${NOWHERE:-#x}", "A=${NOWHERE:- #x}",
    "A=1\x0bB=2", "A=1\x0c", "A=1\x1c", "\x1fA=1", "A=1\x85B=2", "A=1\u2028B=2", "A=a\x00b", "A=1;B=2", "A=[1, 2]", "A: 1",
    "---\nA=1", "A=`x`", "A=$(x)", "A=%x%", "A=a\\\nB=1", "A=  spaced  out  ", "A=\t\tx\t\t", "A='  x  '",
]
PIECES = ["A", "B", "=", "=", "=", "'", '"', "\\", "#", " ", "\t", "\n", "\n", "\r\n", "\r", "$", "{", "}", ":-", ":", "${A}", "${B:-x}",
          "export ", "n", "x", "A=1\n", "B='x'\n", 'A="', "\u00a0", "é"]


def read(text):
    """What python-dotenv reads, as pairs; None where it skips a line or a name has no value."""
    with tempfile.NamedTemporaryFile("w", suffix=".env", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        skipped = []
        logging.getLogger("dotenv.main").addFilter(skipped.append)
        values = dotenv.dotenv_values(file.name)
        logging.getLogger("dotenv.main").removeFilter(skipped.append)
    if skipped or None in values.values():
        return None
    return [list(pair) for pair in values.items()]


def texts():
    """The texts above, and others made of pieces by a fixed seed."""
    choice = random.Random(1)
    made = ["".join(choice.choices(PIECES, k=choice.randint(2, 14))) for _ in range(10 * RANDOM_TEXTS)]
    # Most of what chance makes is broken; of the others there are to be as many.
    whole = [text for text in made if read(text) is not None][: RANDOM_TEXTS // 2]
    broken = [text for text in made if read(text) is None][: RANDOM_TEXTS // 2]
    return TEXTS + whole + broken


def main():
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    if "--write" in sys.argv:
        cases = [json.dumps({"text": text, "variables": read(text)}) for text in texts()]
        CORPUS.write_text("[\n" + ",\n".join(cases) + "\n]\n")
    cases = json.loads(CORPUS.read_text())
    different = [case["text"] for case in cases if read(case["text"]) != case["variables"]]
    for text in different:
        print(f"python-dotenv reads {text!r} as {read(text)}")
    print(f"{len(cases)} texts, {len(different)} differ")
    sys.exit(bool(different))


main()
