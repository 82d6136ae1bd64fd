# Who may include whom. Arguments: the rooms' CMakeLists.txt files, then the code. A room may include itself, the ROOMS of its
# CMakeLists.txt (TEST_ROOMS too in tests), and those must obey the directions of the design.

function room_of(path,   parts, n, i, candidate) {
  n = split(path, parts, "/")
  for (i = n - 1; i >= 1; i--) {
    candidate = parts[1]
    for (j = 2; j <= i; j++) candidate = candidate "/" parts[j]
    if (candidate in declared) return candidate
  }
  return ""
}
function top(room) { sub(/\/.*/, "", room); return room }

# init <- drivers <- agent; init <- image; tests, bench and tools see all, nothing sees them.
function direction_ok(from, to,   a, b) {
  if (from == to) return 1
  a = top(from); b = top(to)
  if (a == "tests" || a == "bench" || a == "tools") return 1
  if (b == "tests" || b == "bench" || b == "tools" || b == "image") return a == b
  if (a == b) return inside_ok(from, to)
  if (b == "init") return 1
  if (b == "drivers") return a == "agent" && (from == "agent/main" || to == "drivers/api")
  return 0
}
function inside_ok(from, to) {
  if (from == "agent/main" || to == "agent/schema" || to == "agent/model") return to != "agent/main"
  if (to == "agent/main") return 0
  if (from == "agent/client" && to ~ /^agent\/(server|state|raft|scheduler)$/) return 0
  if ((from == "agent/cli" || from == "agent/ui") && to ~ /^agent\/(server|state|raft|scheduler|client|endpoint|rpc)$/) return 0
  if (from == "agent/http" && to ~ /^agent\/(server|client|state|raft|scheduler)$/) return 0
  if (from == "agent/schema" && to ~ /^agent\//) return 0
  if (from == "agent/model" && to ~ /^agent\// && to != "agent/schema") return 0
  if (from == "agent/state" && to ~ /^agent\/(scheduler|server|client|http|cli|endpoint)/) return 0
  if (from == "agent/scheduler" && to ~ /^agent\/(server|client|http|cli|endpoint|raft)/) return 0
  if (from ~ /^drivers\/(raw_exec|exec|java|qemu|oci|mock)$/ && to ~ /^drivers\/(raw_exec|exec|java|qemu|oci|mock)$/) return 0
  if (from ~ /^init\/base/) return 0
  return 1
}

FILENAME ~ /CMakeLists\.txt$/ {
  room = FILENAME; sub(/\/?CMakeLists\.txt$/, "", room)
  if (room == "") next
  declared[room] = 1
  text = $0; sub(/#.*/, "", text); gsub(/[()]/, " & ", text)
  n = split(text, word, /[ \t]+/)
  for (i = 1; i <= n; i++) {
    if (word[i] ~ /^(ROOMS|TEST_ROOMS|SYSTEM|SOURCES|TEST_SYSTEM)$/) mode[room] = word[i]
    else if (word[i] == ")") mode[room] = ""
    else if (mode[room] == "ROOMS" && word[i] ~ /\//) { allowed[room, word[i]] = 1; listed[room] = listed[room] " " word[i] }
    else if (mode[room] == "TEST_ROOMS" && word[i] ~ /\//) test_allowed[room, word[i]] = 1
  }
  next
}

FNR == 1 && !checked {
  checked = 1
  for (room in listed) {
    count = split(listed[room], rooms, " ")
    for (i = 1; i <= count; i++) if (!direction_ok(room, rooms[i]))
      printf "%s/CMakeLists.txt:1: [room-direction] %s may not include %s\n", room, room, rooms[i]
  }
}

/^#include "/ {
  target = $2; gsub(/"/, "", target)
  if (target ~ /\.pb\.h$/) next
  from = room_of(FILENAME); to = room_of(target)
  if (from == "" || to == "" || from == to) next
  is_test = FILENAME ~ /_(test|fuzz)\.cc$|\/test_[a-z_]*\.h$|_test_[a-z_]*\.h$/ || from ~ /^(tests|bench|tools)\//
  if (is_test) next
  if (!direction_ok(from, to)) printf "%s:%d: [room-direction] %s may not include %s\n", FILENAME, FNR, from, to
  else if (!((from, to) in allowed)) printf "%s:%d: [room-undeclared] %s does not name %s in its ROOMS\n", FILENAME, FNR, from, to
}
