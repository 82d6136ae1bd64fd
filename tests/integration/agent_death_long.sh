#!/usr/bin/env bash
# (long) kill -9 of the agent at 100 drawn moments, 30 of them inside the start or stop of a task or a rotation; 50 tasks.
ROUNDS=${STEPPE_DEATH_ROUNDS:-100} TASKS=${STEPPE_DEATH_TASKS:-50} HITS=30
. "$(dirname "$0")/agent_death_rounds.sh"
