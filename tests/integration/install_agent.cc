// In an image of image_install.sh this stands in the agent's place: on a machine with a second disk it has the machine installed there, says
// on the console what came of it, and becomes the agent.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

namespace {

void say(const std::string& text) {
  const int console = ::open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (console < 0) return;
  (void)!::write(console, text.data(), text.size());
  ::close(console);
}

void node(std::vector<const char*> words) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 1);
    words.insert(words.begin(), "/usr/bin/steppe-node");
    words.push_back(nullptr);
    ::execv(words[0], const_cast<char**>(words.data()));
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string text;
  char piece[4096];
  for (ssize_t got; (got = ::read(ends[0], piece, sizeof piece)) > 0 || (got < 0 && errno == EINTR);)
    if (got > 0) text.append(piece, static_cast<size_t>(got));
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  say("\nTEST " + std::string(words[0]) + " " + words[1] + " ended with " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1) + ": " + text + "\n");
}

// Beside the agent, which has to be ready in its time; once, however often that is started.
void install_beside() {
  const int begun = ::open("/run/install.begun", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (begun < 0) return;
  ::close(begun);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::fork() != 0) ::_exit(0);
    node({"install", "/dev/vda", "-wipe"});
    node({"install", "/dev/vdb"});
    ::_exit(0);
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

int main(int, char** argv) {
  if (::access("/dev/vdb", F_OK) == 0) install_beside();
  ::execv("/usr/bin/steppe-agent", argv);
  return 127;
}
