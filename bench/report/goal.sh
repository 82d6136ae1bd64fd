# Sourced by the parts of the report that are scripts.
# goal PART NAME OURS PEER FLOOR RATIO GOAL MET: one line of the report; MET is true or false. GOAL empty: information.
goal() {
  printf '%-44s %14s %22s %14s %8s %9s  %s\n' "$2" "$3" "$4" "$5" "$6" "$7" "$([ -z "$7" ] || { [ "$8" = true ] && echo met || echo MISSED; })"
  [ -n "${STEPPE_BENCH_GOALS:-}" ] || return 0
  jq -cn --arg part "$1" --arg name "$2" --arg ours "$3" --arg peer "$4" --arg floor "$5" --arg ratio "$6" --arg goal "$7" --argjson met "$8" \
    '{part: $part, name: $name, ours: $ours, peer: $peer, floor: $floor, ratio: $ratio, goal: $goal, met: $met}' >>"$STEPPE_BENCH_GOALS"
}
# holds A OP B: "true" or "false", for decimal numbers.
holds() { awk -v a="$1" -v b="$3" -v op="$2" 'BEGIN {print ((op == "<=" ? a + 0 <= b + 0 : a + 0 >= b + 0) ? "true" : "false")}'; }
