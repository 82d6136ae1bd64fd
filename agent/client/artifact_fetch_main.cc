// The artifact process alone, for the tests of this room; the agent runs the same by its own name.
#include "agent/client/artifact_child.h"

int main() { return steppe::client::artifact_fetch_main(3, 4, 5); }
