"""What ``ancestra --help`` lists: every command in a few words, under the heading where somebody looks for it.

The first sentence of a command's own help is longer than a line of a terminal, and forty commands in one list are
looked for in vain.
"""

from collections.abc import Mapping

#: Commands by heading, in the order of a working day. A text fits into a terminal of 80 columns.
CONTENTS: Mapping[str, Mapping[str, str]] = {
    "A batch": {
        "check": "every problem of a batch file, with its line",
        "plan": "what it will make: candidates, frames, hours, money",
        "submit": "hand it to a farm, which comes up on a cluster if need be",
        "run": "run it to its end on this machine",
    },
    "How it goes": {
        "ls": "the batches of a store",
        "show": "one batch whole",
        "status": "every shot and its stages, and who is at work",
        "watch": "progress as it is made; --farm: the whole farm",
        "explain": "why a shot is where it is",
        "why": "one candidate's whole story",
        "logs": "what happened, and with -f what happens",
    },
    "What people choose": {
        "sheet": "a shot's contact sheet",
        "pick": "pick survivors under your name",
        "unpick": "take back picks of your own",
        "restore": "let rejects survive by your word",
        "close": "go on with what is picked of a stage",
        "stitch": "the versions of a shot, and what they are made of",
        "sync": "fetch finished versions, with -f as they appear",
        "manifest": "query the tables, and export them",
    },
    "What is worked on": {
        "pause": "start nothing more of a shot or a batch",
        "unpause": "go on with what was paused",
        "cancel": "give up what is left of a shot or a batch",
        "priority": "another class or weight for a batch",
        "more": "more candidates than the batch asks for",
        "retry": "again what failed, or what a filter rejected",
    },
    "The farm": {
        "up": "bring a store's farm up on a cluster",
        "resume": "put a store to work again on this machine",
        "stop": "end the farm that is at work, cleanly",
        "hosts": "who works on what; drain, block and forgive machines",
        "settings": "node types, prices and caps; rules and people of shows",
        "token": "who may give orders",
        "dash": "Prometheus and Grafana on this farm",
        "doctor": "what is wrong with this machine, store or cluster",
        "log": "who ordered what, and when",
    },
    "The store": {
        "verify": "whether everything is what the log says",
        "repair": "save what can be saved of a damaged log",
        "gc": "give back the room that nobody needs",
    },
    "Models and the rest": {
        "models": "models by role, what they need and may be used for",
        "look": "looks trained on photographs whose rights are known",
        "simulate": "how batches would fare on a farm, in virtual time",
        "schema": "JSON Schemas, for editors",
    },
}
