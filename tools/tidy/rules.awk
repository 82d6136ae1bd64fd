# Sizes, functions, banned calls and header manners of C and C++ files. One finding a line:
# path:line: [rule] text

function report(line, rule, text) { printf "%s:%d: [%s] %s\n", path, line, rule, text }

# Code without string contents, character literals and comments.
function strip(text,   out) {
  gsub(/\\\\/, "", text); gsub(/\\"/, "", text); gsub(/\\'/, "", text)
  gsub(/"[^"]*"/, "\"\"", text); gsub(/'[^']'/, "' '", text)
  if (in_comment) { if (text ~ /\*\//) { sub(/^.*\*\//, "", text); in_comment = 0 } else return "" }
  gsub(/\/\*.*\*\//, "", text)
  if (text ~ /\/\*/) { sub(/\/\*.*$/, "", text); in_comment = 1 }
  sub(/\/\/.*$/, "", text)
  return text
}

function finish() {
  if (path == "") return
  limit = path ~ /\.h$/ ? 400 : 1000
  if (lines > limit) report(1, "file-size", lines " lines, at most " limit)
  if (path ~ /\.h$/ && !pragma) report(1, "pragma-once", "a header starts with #pragma once")
}

FNR == 1 {
  finish()
  path = FILENAME; lines = 0; depth = 0; pragma = 0; in_comment = 0; function_start = 0; pending = ""; raw_string = ""; first_include = ""
  test = path ~ /_test\.cc$/ || path ~ /^tests\// || path ~ /^bench\//
  # The backends and the ground floor may talk to the kernel; nobody else.
  kernel_room = path ~ /^init\/io\// || path ~ /^init\/sys\// || path ~ /^drivers\/(executor|isolate)\// || path ~ /^init\/(boot|pid1|supervise)\//
  header = path ~ /\.h$/
}

{
  lines = FNR
  if ($0 ~ /^#pragma once/) pragma = 1
  if (raw_string != "") { if (index($0, raw_string)) raw_string = ""; next }
  if (match($0, /R"[A-Za-z]*\(/)) {
    mark = substr($0, RSTART + 2, RLENGTH - 3); rest = substr($0, RSTART + RLENGTH)
    if (!index(rest, ")" mark "\"")) raw_string = ")" mark "\""
  }
  if ($0 ~ /^#include/) {
    if (first_include == "") {
      first_include = $2
      own = path; sub(/(_main)?\.cc$/, ".h", own)
      if (path ~ /\.cc$/ && !test && (getline unused < own) >= 0) {
        close(own)
        if (first_include != "\"" own "\"") report(FNR, "own-header-first", "the first include is " own)
      }
    }
    if ($2 ~ /^"\.\.?\//) report(FNR, "include-path", "headers are included by their path from the root")
    if (header && !test && ($2 ~ /^<(regex|iostream)>/ || $2 ~ /^<boost\/(asio|beast)/))
      report(FNR, "heavy-include", $2 " in a header")
    next
  }
  text = strip($0)
  if (text == "") next

  if (!test && !kernel_room) {
    if (text ~ /(^|[^_a-zA-Z0-9.>:])(::)?(clock_gettime|gettimeofday|time|localtime|gmtime)\(/ && (text !~ /[a-zA-Z_>&\*] +(time)\(/ || text ~ /return +time\(/))
      report(FNR, "banned-clock", "time comes from an injected Clock")
    if (text ~ /(system_clock|steady_clock|high_resolution_clock)::now/) report(FNR, "banned-clock", "time comes from an injected Clock")
    if (text ~ /(^|[^_a-zA-Z0-9.>:])(rand|srand|getrandom)\(|(^|[^_a-zA-Z0-9.>:])random\(\)|std::(random_device|mt19937)/) report(FNR, "banned-rand", "chance comes from an injected Rng")
    if (text ~ /(^|[^_a-zA-Z0-9.>:])(::)(socket|connect|bind|listen|accept4?|recv|send|recvfrom|sendto)\(/ || text ~ /(^|[^_a-zA-Z0-9.>:])(socket|accept4|recvfrom|sendto)\(/)
      report(FNR, "banned-socket", "sockets belong to init/io")
    if (text ~ /std::(i|o)?fstream|(^|[^_a-zA-Z0-9.>:])(::)?(fopen|openat?|creat)\(/ && text !~ /[a-zA-Z_>&\*] +open\(/)
      report(FNR, "banned-file", "files belong to init/io or init/sys")
    if (text ~ /std::(this_thread::sleep|jthread)|(^|[^_a-zA-Z0-9.>:])(usleep|nanosleep|sleep)\(/) report(FNR, "banned-sleep", "waits are io::sleep_until with a stop token")
  }
  # Privileged code resolves names under directory descriptors, never by path strings.
  if (!test && path ~ /^drivers\/(executor|isolate)\// && text ~ /(^|[^_a-zA-Z0-9.>:])(::)?(open|fopen|unlink|rename|chmod|chown|mkdir|rmdir|symlink)\(/ &&
      text !~ /[^_a-zA-Z]open\(\)/ && (text !~ /[a-zA-Z_>&\*] +[a-z]+\(/ || text ~ /return +[a-z:]+\(/))
    report(FNR, "string-path", "privileged code resolves paths under a directory descriptor (the *at calls)")
  if (text ~ /throw / && !test && text !~ /nothrow/) report(FNR, "throw", "errors are values: Result")

  # Functions: a block opened by a line (or a pending signature) with ')' outside any other function.
  opens = gsub(/\{/, "{", text); closes = gsub(/\}/, "}", text)
  if (!function_start && opens > closes) {
    signature = pending " " text
    if (signature !~ /(^|[^a-zA-Z_])(namespace|class|struct|enum|union|extern)([^a-zA-Z_]|$)/ && signature ~ /\)/ && signature !~ /=[ ]*\{/ && signature !~ /=[ ]*$/) {
      function_start = FNR; function_depth = depth
    }
  }
  depth += opens - closes
  if (function_start && depth <= function_depth) {
    if (FNR - function_start + 1 > 70) report(function_start, "function-size", FNR - function_start + 1 " lines, at most 70")
    function_start = 0
  }
  if (text ~ /[;{}]/) pending = ""; else pending = pending " " text
}

END { finish() }
