"""What a user may choose within a profile: cores, memory and walltime, each between bounds.

A value is read into a number, compared, and written anew for the scheduler: what somebody typed
goes no further. One that can be read in two ways is not read at all.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

UNITS = "KMGT"
COUNT = re.compile(r"[0-9]{1,6}")
MEMORY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([kmgt])(?:i?b)?", re.IGNORECASE)
TIME = re.compile(r"(?:([0-9]{1,4})-)?([0-9]{1,4}):([0-5][0-9]):([0-5][0-9])")
MINUTES = re.compile(r"[0-9]{1,6}")


def read_cores(text):
    if not COUNT.fullmatch(text):
        raise ValueError("is not a whole number")
    return int(text)


def read_memory(text):
    """KiB. A number without a unit means another size to each scheduler, and none to people."""
    match = MEMORY.fullmatch(text)
    if not match:
        raise ValueError("is not an amount of memory such as 4G or 512M")
    return int(Fraction(match[1]) * 1024 ** UNITS.index(match[2].upper()))


def read_walltime(text):
    """Seconds. `02:00` is no time: hours and minutes to some, minutes and seconds to others."""
    if MINUTES.fullmatch(text):
        return int(text) * 60
    match = TIME.fullmatch(text)
    if not match:
        raise ValueError("is not a time such as 02:00:00, or 120 for minutes")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def memory_units(kib):
    """The number and the largest unit by which it is whole."""
    power = 0
    while kib and kib % 1024 == 0 and power < len(UNITS) - 1:
        kib, power = kib // 1024, power + 1
    return kib, UNITS[power]


def count_words(number, unit):
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def cores_words(cores):
    return count_words(cores, "core")


def memory_words(kib):
    number, unit = memory_units(kib)
    return f"{number} {unit}B"


def walltime_words(seconds):
    """As people say it: 36 hours, 2 days, 1 hour 30 minutes."""
    if seconds >= 2 * 86400 and seconds % 86400 == 0:
        return count_words(seconds // 86400, "day")
    parts = (seconds // 3600, "hour"), (seconds // 60 % 60, "minute"), (seconds % 60, "second")
    return " ".join(count_words(number, unit) for number, unit in parts if number) or "no time"


def write_cores(cores, like, scheduler):
    return str(cores)


def write_memory(kib, like, scheduler):
    """With a unit spelled as the site spells its own: to some schedulers g is not G."""
    number, unit = memory_units(kib)
    spelled = re.sub(r"[^A-Za-z]", "", like)
    unit = unit if spelled[0].isupper() else unit.lower()
    return f"{number}{unit}{spelled[1:]}"


def write_walltime(seconds, like, scheduler):
    """Hours beyond 24 stay hours: days are Slurm's alone."""
    if scheduler == "lsf":
        # It knows hours and minutes; rounded up, so that nobody gets less than asked for.
        minutes = -(-seconds // 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


@dataclass(frozen=True)
class Field:
    """One kind of choice: its words, the spawner's trait it sets, how it is read and written."""

    name: str
    label: str
    trait: str
    read: Callable[[str], int]
    words: Callable[[int], str]
    write: Callable[[int, str, str], str]
    # What a browser checks before it sends the form, and how the hint words it.
    pattern: str = ""
    hint: str = ""


FIELDS = {
    field.name: field
    for field in (
        Field("cores", "Cores", "req_nprocs", read_cores, cores_words, write_cores),
        Field(
            "memory",
            "Memory",
            "req_memory",
            read_memory,
            memory_words,
            write_memory,
            r"[0-9]+([.][0-9]+)? ?[KMGTkmgt]([Ii]?[Bb])?",
            "such as 4G",
        ),
        Field(
            "walltime",
            "Time",
            "req_runtime",
            read_walltime,
            walltime_words,
            write_walltime,
            r"([0-9]+[\-])?[0-9]+:[0-5][0-9]:[0-5][0-9]|[0-9]+",
            "as hours:minutes:seconds",
        ),
    )
}


@dataclass(frozen=True)
class Bounds:
    """A field of one profile: from `low` to `high`, `default` unless the user says otherwise."""

    field: Field
    low: int
    default: int
    high: int
    # As the site writes them.
    texts: dict[str, str]

    def span(self):
        """The range in words, the unit once where both ends share it: `1 to 12 cores`."""
        low, high = self.field.words(self.low), self.field.words(self.high)
        first, unit = low.rsplit(" ", 1)
        if unit.removesuffix("s") == high.rsplit(" ", 1)[1].removesuffix("s") and first.isdigit():
            low = first
        return high if self.low == self.high else f"{low} to {high}"

    def value(self, asked):
        """The number that is asked for; ValueError in words for the user."""
        text = str(asked).strip()
        if type(asked) not in (int, str) or len(text) > 40:
            raise ValueError(f"{self.field.label}: that is no value for it")
        try:
            number = self.field.read(text)
        except ValueError as error:
            raise ValueError(f"{self.field.label}: {text!r} {error}") from None
        if not self.low <= number <= self.high:
            raise ValueError(f"{self.field.label}: {text} is not within {self.span()}")
        return number

    def option(self, number, scheduler):
        """The spawner's option, as the scheduler wants it."""
        return self.field.trait, self.field.write(number, self.texts["max"], scheduler)


def bounds(name, spec):
    """The bounds that a site wrote as {min: …, default: …, max: …}; ValueError in words."""
    if name not in FIELDS:
        raise ValueError(f"{name}: no such field; the fields are {', '.join(FIELDS)}")
    parts = ("min", "default", "max")
    if not isinstance(spec, dict) or set(spec) != set(parts):
        raise ValueError(f"{name}: must have min, default and max, and nothing else")
    field, numbers = FIELDS[name], []
    for part in parts:
        try:
            numbers.append(field.read(str(spec[part])))
        except ValueError as error:
            raise ValueError(f"{name}: {part} {spec[part]!r:.40} {error}") from None
    low, default, high = numbers
    if not 0 < low <= default <= high:
        raise ValueError(f"{name}: must be above 0, and default within min and max")
    return Bounds(field, low, default, high, {part: str(spec[part]) for part in parts})
