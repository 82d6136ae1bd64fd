variable "release" {
  type        = string
  description = "Which release of the database to run."
  default     = "16.4"

  validation {
    condition     = strlen(var.release) < 10 && length(split(".", var.release)) == 2
    error_message = "The release must look like 16.4."
  }
}

variable "users" {
  type = map(object({ role = string, limit = number }))
  default = {
    app    = { role = "writer", limit = 20 }
    report = { role = "reader", limit = "5" }
  }
}

variable "port" {
  type    = number
  default = 5432
}

variables {
  data_volume = "pgdata"
}

locals {
  connections = max(local.minimum, [for user in values(var.users) : user.limit * 2]...)
  minimum     = 25
  image       = "docker.io/library/postgres:${var.release}"
}

job "shop" {
  datacenters = ["dc1"]

  group "shop" {
    network {
      mode = "bridge"
      port "db" {
        to = var.port
      }
      port "http" {
        to = 8080
      }
    }

    volume "data" {
      type            = "host"
      source          = var.data_volume
      read_only       = false
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
    }

    ephemeral_disk {
      size    = 500
      sticky  = true
      migrate = false
    }

    # Up before the shop itself, and beside it until it ends.
    task "database" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      config {
        image = local.image
        ports = ["db"]
        args  = ["-c", format("max_connections=%d", local.connections)]
      }

      volume_mount {
        volume           = "data"
        destination      = "/var/lib/postgresql/data"
        propagation_mode = "private"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/db.env"
        env         = true
        change_mode = "restart"
        data        = <<-EOT
          POSTGRES_DB={{ env "NOMAD_JOB_NAME" }}
          POSTGRES_PASSWORD={{ with nomadVar "nomad/jobs/shop" }}{{ .password }}{{ end }}
          # ${upper(var.release)} on port ${var.port}
          %{~for name, user in var.users}
          USER_${upper(name)}=${user.role}
          %{~endfor}
          HOST=$${HOSTNAME}
        EOT
      }

      template {
        data          = <<EOT
{{ range $i, $s := nomadService "shop" }}
server {{ .Address }}:{{ .Port }}
{{ end }}
EOT
        destination   = "local/peers.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        perms         = "600"
        splay         = "2s"

        wait {
          min = "5s"
          max = "10s"
        }
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }

    task "migrate" {
      driver = "docker"
      lifecycle {
        hook = "prestart"
      }
      config {
        image   = "registry.example.org/shop:${var.release}"
        command = "/bin/migrate"
      }
    }

    task "shop" {
      driver = "docker"
      config {
        image = "registry.example.org/shop:${var.release}"
        ports = ["http"]
      }
      env = {
        "DATABASE_URL"     = "postgres://app@${NOMAD_ADDR_db}/shop"
        "feature.new-cart" = "on"
      }

      dynamic "service" {
        for_each = ["http", "db"]
        iterator = each
        content {
          name     = "shop-${each.value}"
          port     = each.value
          provider = "nomad"
          tags     = ["index-${each.key}"]
        }
      }
    }
  }
}
