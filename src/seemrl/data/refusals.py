"""The wording of refusals: one printable line that names the source and the problem."""

from seemrl.errors import InputError


def refusal(source: object, problem: str) -> InputError:
    """The error to raise for unusable data: ``source: problem`` on one line.

    File names, HDF5 keys and library messages end up in these texts and may hold line breaks or control characters;
    both are made harmless here.

    Args:
        source: Where the data came from, mostly a path.
        problem: What is wrong, with key and row, and what to do.
    """
    return InputError(one_line(f"{source}: {problem}"))


def one_line(text: str) -> str:
    """The text with every run of white space made one space and every unprintable character made ``?``."""
    joined = " ".join(text.split())
    return "".join(character if character.isprintable() else "?" for character in joined)


def shortened(error: object, most: int = 160) -> str:
    """What a library says of a damaged file, on one line and no longer than a person reads."""
    line = one_line(str(error))
    return line if len(line) <= most else f"{line[:most]}..."


def valid_unicode(text: str | bytes) -> str:
    """Text as it can be printed and stored again; libraries give bytes or surrogates for what is not UTF-8."""
    encoded = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return encoded.decode("utf-8", "replace")
