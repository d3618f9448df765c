"""What the steps of Dagu files do. `core.dagu.compile` says which action a step has.

tools       what is needed from the outside
terms       texts with references, commands and conditions, evaluated for one attempt
setup       `dagu.setup`: what all steps of a run share
steps       `dagu.step`: one attempt of a step, from its preconditions to its verdict
programs    commands and scripts, here and in containers
errands     requests, mail, jq, other machines
runs        `dagu.run`: other DAGs, and loops
people      `dagu.human`: what somebody has answered; `dagu.mail`: that something happened
"""
