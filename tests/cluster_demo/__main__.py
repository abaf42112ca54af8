"""A farm on a cluster, shown on one machine: ``python -m tests.cluster_demo``.

A head and Ray's real autoscaler, with nodes that are processes and GPUs that are numbers. Kim, the wrangler, brings the
farm up; Ana and Bo, with a token each and no access to the store, submit three batches of three classes. Nodes come;
one is killed, one is drained; all batches end complete, and the nodes go. Everything is done with the program's own
commands. In ``--out``: the store, what was seen (``story.json``), the picture (``cluster.png``), and Ray's logs.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ancestra_farm.api.afar import farm_at
from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.api.tokens import OwnToken
from ancestra_farm.batch.farm_settings import load_farm_settings
from tests.cluster_demo.board import Board, NotInTime, short
from tests.cluster_demo.machines import Growing, HeadBroke, Machine, growing_cluster, surroundings
from tests.cluster_demo.plot import draw
from tests.cluster_demo.story import Mark, Story, clock
from tests.farm.growing import free_port
from tests.farm.processes import ROOT

JOBS = Path("jobs/cluster")
BATCHES = {"backfill": "backfill", "shots": "shot", "dailies": "dailies"}
#: A command that takes longer hangs.
COMMAND_S = 150.0


class CommandBroke(Exception):
    """A command of the program did not do what it was to do; the message is what it said."""


class Somebody:
    """A person at a terminal of their own. ``store``: what they know the farm by: its store, or only its door."""

    def __init__(self, name: str, out: Path, store: str, **environment: str) -> None:
        self.name = name
        home = str(out / "homes" / name)
        self._environment = {**surroundings(), "USER": name, "XDG_STATE_HOME": home, "ANCESTRA_STORE": store}
        self._environment |= environment

    def __call__(self, *words: str, given: str = "", shown: bool = True) -> str:
        """Give a command; what it said. Raises CommandBroke."""
        if shown:
            print(f"\n{self.name}$ ancestra {shlex.join(words)}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "ancestra_farm.cli.main", *words],
            cwd=ROOT,
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )
        if done.returncode != 0:
            raise CommandBroke(f"{self.name}'s ancestra {words[0]} ended with {done.returncode}:\n{done.stderr}")
        if shown:
            print(done.stdout.rstrip(), flush=True)
        return done.stdout


def main() -> int:
    """The demonstration; 0 if everything ended as it should."""
    parser = argparse.ArgumentParser(prog="tests.cluster_demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/cluster-demo"), help="what lies there is made anew")
    parser.add_argument("--jobs", type=Path, default=JOBS, help="the batches, cards and settings that are shown")
    parser.add_argument("--redraw", type=Path, help="draw a story that was kept, and do nothing else")
    given = parser.parse_args()
    out: Path = given.out.resolve()
    if given.redraw is not None:
        draw(Story.kept(given.redraw), given.redraw.with_name("cluster.png"))
        return 0
    out.mkdir(parents=True, exist_ok=True)
    for name in ("store", "homes", "ray"):
        shutil.rmtree(out / name, ignore_errors=True)
    farm = load_farm_settings(ROOT / given.jobs / "farm.yaml")
    try:
        with growing_cluster(farm, out / "ray") as cluster:
            story = shown(cluster, out, given.jobs)
    except (CommandBroke, EndpointGone, HeadBroke, NotInTime, subprocess.TimeoutExpired) as broke:
        print(f"{broke}\nwhat Ray said lies in {out / 'ray'}", file=sys.stderr)
        return 1
    story.keep(out / "story.json")
    draw(story, out / "cluster.png")
    for line in told(story):
        print(line)
    print(f"\npicture   {out / 'cluster.png'}")
    return 0


def shown(cluster: Growing, out: Path, jobs: Path) -> Story:
    """Everything that is done. Raises CommandBroke, NotInTime, EndpointGone."""
    url, listen = str(out / "store"), f"127.0.0.1:{free_port()}"
    door = f"http://{listen}"
    kim = Somebody("kim", out, url, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=cluster.token)
    ana, bo = (Somebody(name, out, door) for name in ("ana", "bo"))
    kim("up", "--address", cluster.address, "--listen", listen, "--python", sys.executable)
    kim("settings", "farm", "set", str(jobs / "farm.yaml"))
    for show in ("ancestra", "trailer"):
        kim("settings", "show", show, "set", str(jobs / f"{show}.yaml"))
    for person in (ana, bo):
        token = kim("token", "issue", person.name, shown=False)
        person("token", "use", given=token)
    viewer = kim("token", "issue", "wallboard", "--role", "viewer", shown=False).strip()
    client = Client.of(farm_at(door), token=OwnToken(viewer, "wallboard", "the demo"))
    assert client is not None
    with client:
        board = Board(client, teller())
        board.start()
        try:
            played(board, cluster, jobs, kim, ana, bo)
        finally:
            board.end()
        bill = board.bill()
        shots = client.status().shots
    kim("ls")
    kim("stop")
    kim("verify")
    survivors = sum(stage.survivors for shot in shots for stage in shot.stages)
    return Story(board.samples, board.marks, bill, len(board.nodes_seen), board.judged.total(), survivors)


def played(board: Board, cluster: Growing, jobs: Path, kim: Somebody, ana: Somebody, bo: Somebody) -> None:
    """From the first submission to the last node."""

    def submit(person: Somebody, file: str) -> None:
        person("submit", str(jobs / f"{file}.yaml"), "--cards", str(jobs / "cards"))

    def worker() -> Machine | None:
        """A spot node whose host is at work."""
        found = [one for one in cluster.machines() if one.kind == "l4-spot" and one.node in board.working]
        return found[0] if found else None

    submit(bo, "backfill")
    board.until("a candidate of the backfill", lambda: board.judged["backfill"])
    submit(ana, "shot")
    board.until("a candidate of the shots, and two nodes at work", lambda: board.judged["shots"] and board.ready > 1)
    submit(ana, "dailies")
    board.until("ten candidates of the dailies", lambda: board.judged["dailies"] >= 10)
    victim = board.until("a spot node at work", worker)
    cluster.lose(victim)
    board.note("killed", f"kill -9: {short(victim.node)} ({victim.kind}) is gone without a word", short(victim.node))
    board.until("the loss to be noticed", lambda: board.lost)
    came = board.ready
    board.until("a host in its place", lambda: board.ready > came)
    drained = board.until("a spot node at work", worker)
    kim("hosts", "drain", drained.node, "--note", "its fan rattles")
    waits = dict(BATCHES)
    until = time.monotonic() + 400
    while waits:
        left = max(1.0, until - time.monotonic())
        batch = board.until(f"{', '.join(waits)} to be done", lambda: next(filter(board.done, waits), None), left)
        board.note("done", f"{batch} is done", waits.pop(batch))
    board.until("the nodes to go", lambda: not cluster.machines() and board.nobody_up)


def teller() -> Callable[[Mark], None]:
    """Says marks with the time since the first of them."""
    began: list[float] = []

    def say(mark: Mark) -> None:
        began.append(mark.at)
        print(f"  {clock(mark.at - began[0]):>5}  {mark.text}", flush=True)

    return say


def told(story: Story) -> list[str]:
    """What it came to, in lines."""
    bill = story.bill
    parts = ", ".join(f"{part} {bill.share(part):.1%}" for part in ("busy", "loading", "starved", "idle"))
    used = bill.candidate_s / bill.paid_s if bill.paid_s else 0.0
    lines = [
        "",
        f"hosts     {bill.clock_s['wall']:,.0f} s on their devices: {parts}",
        f"nodes     {story.nodes_came} came; {used:.0%} of the time they were up went into candidates",
    ]
    for kind, node_s in sorted(bill.node_s.items()):
        lines.append(f"cost      {kind:<8} {node_s:6,.0f} node-seconds {bill.cost[kind]:8.4f} {bill.currency}")
    each = bill.money / story.survivors if story.survivors else 0.0
    lines.append(f"cost      in all                       {bill.money:8.4f} {bill.currency}, {each:.5f} a survivor")
    return lines


if __name__ == "__main__":
    sys.exit(main())
