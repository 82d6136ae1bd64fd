# One of these on every Linux node: reads the machine's own counters, so it runs without a sandbox.
job "node-agent" {
  type        = "system"
  datacenters = ["*"]
  node_pool   = "all"
  priority    = 90

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  group "agent" {
    network {
      port "metrics" {
        static = 9100
      }
    }

    task "exporter" {
      driver = "raw_exec"

      config {
        command = "/opt/node_exporter/node_exporter"
        args    = ["--web.listen-address=${NOMAD_ADDR_metrics}", "--path.rootfs=/"]
      }

      restart {
        attempts = 3
        delay    = "30s"
        interval = "10m"
        mode     = "delay"
      }

      resources {
        cpu    = 50
        memory = 64
      }

      identity {
        env  = true
        file = true
      }

      identity {
        name = "vault_default"
        aud  = ["vault.io"]
        ttl  = "1h"
      }
    }
  }
}
