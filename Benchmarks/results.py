# SPDX-License-Identifier: Apache-2.0
"""Rows, the table they are printed as, and the file they go to, with what a reader needs to judge them: the command, the
machine, and a calibration loop before and after. Used by every benchmark driver here."""

import atexit
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(HERE, "Results", f"{name}.json")


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
    elif text:
        sys.stderr.write(text + "\n")


def show_logs(directory):
    """The ends of the logs there, after a failure."""
    progress("")
    for name in sorted(os.listdir(directory)):
        if name.endswith(".log"):
            with open(os.path.join(directory, name), errors="replace") as file:
                sys.stderr.write(f"--- end of {name}\n" + "".join(file.readlines()[-8:]))


def get_ahead():
    """Puts this session before others until we end: where the scheduler groups tasks by session, `nice` counts within one only."""
    def write(value):
        try:
            with open("/proc/self/autogroup", "w") as file:
                file.write(value)
        except OSError:
            pass
    write("-20")
    atexit.register(write, "0")


def impossible(why):
    """Says why nothing can be measured here; the exit status for that."""
    sys.stderr.write(why + "\n")
    return 77


def row(name, metric, unit, value, reference=None, reference_value=None, ratio=None):
    """`ratio` is value / reference_value, whether more is better or less."""
    return {"name": name, "metric": metric, "unit": unit, "value": rounded(value), "reference": reference,
            "reference_value": rounded(reference_value), "ratio": rounded(ratio)}


def paired_row(name, metric, unit, pairs, reference):
    """A row from (value, reference's value) of several rounds: medians, and the median of the rounds' ratios with its spread."""
    ratios = sorted(own / its for own, its in pairs)
    made = row(name, metric, unit, statistics.median(own for own, _ in pairs), reference,
               statistics.median(its for _, its in pairs), statistics.median(ratios))
    return made | {"ratio_min": rounded(ratios[0]), "ratio_max": rounded(ratios[-1]), "rounds": len(pairs)}


def with_bar(row, key, relation, limit):
    """The row with what is asked of it: `key` ("ratio", "value") ≥ or ≤ `limit`, and whether it holds."""
    met = row[key] is not None and (row[key] >= limit if relation == "≥" else row[key] <= limit)
    return row | {"bar": f"{key} {relation} {limit:g}", "met": met}


def rounded(value):
    return None if value is None else float(f"{value:.4g}")


def machine():
    facts = {"kernel": platform.release(), "cores": os.cpu_count(), "architecture": platform.machine()}
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    facts["cpu"] = models[0] if models else "unknown"
    with open("/proc/loadavg") as file:
        facts["load_before"] = float(file.read().split()[0])
    return facts


def calibration():
    """ns per step of a fixed loop on CPU 0, smallest and median; and the pauses of over 1 ms that CPUs 0 and 1 make when both are busy."""
    program = os.path.join(HERE, ".build-c", "calibrate")
    running = [subprocess.Popen(["nice", "-n", "-20", "taskset", "-c", cpu, program], stdout=subprocess.PIPE, text=True) for cpu in "01"]
    first, second = [json.loads(process.communicate()[0]) for process in running]
    return first | {key: max(first[key], second[key]) for key in ("pauses_per_second", "longest_pause_ms")}


def shown(value):
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def print_table(rows):
    header = ["benchmark", "metric", "value", "unit", "reference", "its value", "ratio", "spread", "bar", ""]
    lines = [header]
    for r in rows:
        spread = f"{r['ratio_min']:.3f}–{r['ratio_max']:.3f}" if "ratio_min" in r else ""
        ratio = "" if r["ratio"] is None else f"{r['ratio']:.3f}"
        lines.append([r["name"], r["metric"], shown(r["value"]), r["unit"], shown(r["reference"]), shown(r["reference_value"]),
                      ratio, spread, f"{r['bar']}: {'met' if r['met'] else 'MISSED'}" if "bar" in r else "", r.get("note", "")])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


class Record:
    """One run of a benchmark: made before it, finished after it."""

    def __init__(self, name, output):
        self.output, self.rows = output, []
        self.document = {
            "benchmark": name, "command": shlex.join([os.path.basename(sys.executable), *map(self.shortened, sys.argv)]),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": machine(), "calibration": {"before": calibration()}}

    @staticmethod
    def shortened(argument):
        return os.path.relpath(argument, HERE) if os.path.isabs(argument) else argument

    def add(self, rows):
        self.rows += rows

    def finish(self):
        self.document["calibration"]["after"] = calibration()
        self.document["rows"] = self.rows
        with open(self.output, "w") as file:
            json.dump(self.document, file, indent=1)
            file.write("\n")
        before, after = (self.document["calibration"][key] for key in ("before", "after"))
        facts = self.document["machine"]
        print_table(self.rows)
        print(f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}; calibration {before['median']:.3f} ns before, "
              f"{after['median']:.3f} after")
        print(f"CPUs paused for over 1 ms {before['pauses_per_second']:.1f} times a second before, {after['pauses_per_second']:.1f} after; "
              f"longest {max(before['longest_pause_ms'], after['longest_pause_ms']):.1f} ms")
        print(f"rows: {os.path.relpath(self.output)}")
