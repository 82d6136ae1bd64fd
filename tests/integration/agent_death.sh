#!/usr/bin/env bash
# kill -9 of the agent at a few drawn moments: no task, line, exit code or acknowledged write is lost. The long form has 100.
ROUNDS=${STEPPE_DEATH_ROUNDS:-16} TASKS=${STEPPE_DEATH_TASKS:-12} HITS=4
. "$(dirname "$0")/agent_death_rounds.sh"
