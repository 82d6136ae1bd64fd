# A browser game in a container, reachable on port 80 of whatever node it lands on.
job "web-game" {
  datacenters = ["dc1"]
  type        = "service"

  group "game" {
    count = 1

    network {
      port "http" {
        static = 80
        to     = 8080
      }
    }

    service {
      name     = "web-game"
      port     = "http"
      provider = "nomad"
      tags     = ["game", "urlprefix-/"]
    }

    restart {
      attempts = 10
      interval = "5m"
      delay    = "25s"
      mode     = "delay"
    }

    task "2048" {
      driver = "docker"

      config {
        image = "alexwhen/docker-2048"
        ports = ["http"]

        labels = {
          team = "arcade"
          tier = 1
        }

        mount {
          type   = "bind"
          source = "local/www"
          target = "/usr/share/nginx/html/custom"

          bind_options {
            propagation = "rslave"
          }
        }

        mount {
          type     = "tmpfs"
          target   = "/tmp"
          readonly = false

          tmpfs_options {
            size = 16777216
          }
        }

        logging {
          type = "json-file"
          config {
            max-file = "2"
            max-size = "2m"
          }
        }
      }

      env {
        LISTEN = "0.0.0.0:${NOMAD_PORT_http}"
        NODE   = "${node.unique.name}"
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }
}
