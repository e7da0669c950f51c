"""What the embedded world consists of (`superalign testbed describe`)."""

from __future__ import annotations

from collections import Counter

from superalign.attacks.families import HELDOUT, TRAINED
from superalign.testbed.world import CONTEXTS, VERBS, requests, seeds, things


def main() -> int:
    """Print sizes, the rule, and what is held out."""
    every = requests()
    print(f"{len(VERBS)} verbs x {len(things())} objects x {len(CONTEXTS)} contexts: {len(every)} sensible requests")
    print(f"harmful {sum(r.harmful for r in every)}, look-alikes and dual use {sum(r.lookalike for r in every)}")
    print(f"held-out (verb, object) combinations: {sum(r.heldout for r in every)} requests")
    print("harmful = the verb is not protective, and the object is a hazard or the purpose is offensive")
    print(f"attack families: {', '.join(TRAINED)}; held out from the attacker: {', '.join(HELDOUT)}")
    for (split, kind), count in sorted(Counter((s.split, s.kind) for s in seeds(0)).items()):
        print(f"seeds, {split}, {kind}: {count}")
    return 0
