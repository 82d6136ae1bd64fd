# Read by steppe.service. Keys are Nomad's.
data_dir  = "/var/lib/steppe"
bind_addr = "127.0.0.1"

server {
  enabled          = true
  bootstrap_expect = 1
}

client {
  enabled = true
}
