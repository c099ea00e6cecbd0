#!/usr/bin/env python3
"""Writes the results of the peers' tests into docs/testing.md: report.py WORK NAME…, WORK/NAME/reports being JUnit's."""
import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "testing.md"
BEGIN, END = "<!-- peer suites: begin -->\n", "<!-- peer suites: end -->"
DIFFERS = "differs: "


def rules(name):
    """The rules of not-applicable.txt: a pattern of the case, and the reason."""
    lines = (HERE / name / "not-applicable.txt").read_text().splitlines()
    parts = (line.split("\t", 1) for line in lines if not line.startswith("#"))
    return [(re.compile(part[0]), part[1]) for part in parts if len(part) == 2]


def cases(work, name):
    """(class, method, outcome, reason) of every case: passed, failed or not applicable."""
    known = rules(name)
    for report in sorted((work / name / "reports").glob("TEST-*.xml")):
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            case_class = case.get("classname").rsplit(".", 1)[-1]
            method = re.sub(r"[(\[].*", "", case.get("name"))
            display = re.search(r"display-name: (.*)", case.findtext("system-out") or "")
            text = f"{case_class}.{method} {display.group(1) if display else ''}"
            reason = next((why for pattern, why in known if pattern.search(text)), "")
            bad = case.find("failure") is not None or case.find("error") is not None
            if reason and not reason.startswith(DIFFERS):
                yield case_class, method, "not applicable", reason
            elif bad:
                yield case_class, method, "failed", reason.removeprefix(DIFFERS) or "without a known reason"
            elif case.find("skipped") is not None:
                yield case_class, method, "not applicable", "left out by the peer"
            else:
                yield case_class, method, "passed", ""


def row(name, total):
    applicable = total["passed"] + total["failed"]
    share = f"{100 * total['passed'] / applicable:.1f} %" if applicable else "-"
    return f"| {name} | {total['passed']} | {total['failed']} | {share} | {total['not applicable']} |"


def table(work, names):
    summary, details, unexplained, everything = [], [], 0, collections.Counter()
    for name in names:
        total = collections.Counter()
        methods = collections.defaultdict(collections.Counter)
        for case_class, method, outcome, reason in cases(work, name):
            total[outcome] += 1
            methods[case_class, method][outcome, reason] += 1
            unexplained += reason == "without a known reason"
        everything += total
        summary.append(row(name, total))
        for (case_class, method), outcomes in sorted(methods.items()):
            result = "; ".join(
                f"{count} {outcome}{': ' + reason if reason else ''}" for (outcome, reason), count in sorted(outcomes.items(), reverse=True)
            )
            details.append(f"| {name} | {case_class}.{method} | {result} |")
    lines = [
        "| suite | passed | failed | passed of the applicable | not applicable |", "|---|--:|--:|--:|--:|", *summary, row("all", everything), "",
        "| suite | case | result |", "|---|---|---|", *details, "",
    ]
    return "\n".join(lines), unexplained


def main():
    work, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
    text, unexplained = table(work, names)
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + text + END + rest.split(END, 1)[1])
    print(text.split("\n\n")[0])
    sys.exit(1 if unexplained else 0)


main()
