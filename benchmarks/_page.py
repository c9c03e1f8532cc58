"""The page of figures: each benchmark that grows tables replaces its own section of it, and nothing else."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def write_section(begin: str, end: str, report: str) -> None:
    """Put *report* between the lines *begin* and *end* of the page; end the program where there is no such section."""
    text = PAGE.read_text()
    if begin not in text:
        raise SystemExit(f"cannot write: {PAGE} has no section that begins with {begin}")
    before, _, rest = text.partition(begin)
    PAGE.write_text(f"{before}{begin}\n{report}\n{end}{rest.partition(end)[2]}")
