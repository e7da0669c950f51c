"""The settings that make every recipe as short as it can be and still do all it does; what follows them overrides."""

SMALL = [
    *("attacker.seeds=8", "attacker.candidates=2", "learner.samples=2", "expert.budget=12", "critic.retention_rows=16"),
    *("evaluation.prompts=1", "evaluation.benign=4", "evaluation.lookalikes=4", "evaluation.critic_probe=16"),
    *("evaluation.final_factor=1", "evaluation.bootstrap=50", "data.limit=120", "cluster.threads=1"),
]
# The smaller model's own attacks and pairs teach nothing; so all three roles learn something in every round.
SMALLER = ["model=testbed-small", "attacker.faithful=0.2", "learner=kto", "learner.max_rows=16"]
