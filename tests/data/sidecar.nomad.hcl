# A little shop with its own database: the database is up first and stays beside the shop. No image, no registry: the
# programs of the machine, each in a root of its own.
variable "users" {
  type = map(object({ role = string, limit = number }))
  default = {
    app    = { role = "writer", limit = 20 }
    report = { role = "reader", limit = "5" }
  }
}

variable "release" {
  type    = string
  default = "16.4"

  validation {
    condition     = length(split(".", var.release)) == 2
    error_message = "The release must look like 16.4."
  }
}

locals {
  connections = max([for user in values(var.users) : user.limit * 2]...)
  queue       = "$${NOMAD_ALLOC_DIR}/data/queries"
}

job "inventory" {
  datacenters = ["dc1"]

  group "inventory" {
    task "database" {
      driver = "exec"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      config {
        command = "/bin/sh"
        args    = ["-e", "local/database.sh", "${NOMAD_ALLOC_DIR}/data/queries"]
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/db.env"
        env         = true
        data        = <<-EOT
          DB_NAME={{ env "NOMAD_JOB_NAME" }}
          DB_RELEASE=${var.release}
          DB_CONNECTIONS=${local.connections}
          %{~for name, user in var.users}
          USER_${upper(name)}=${user.role}
          %{~endfor}
        EOT
      }

      template {
        destination = "local/database.sh"
        data        = <<-EOT
          mkfifo "$1"
          echo "database $DB_NAME $DB_RELEASE takes $DB_CONNECTIONS connections"
          while read -r query reply < "$1"; do
            case "$query" in
              role-of-app) echo "$USER_APP" > "$reply" ;;
              *) echo "no such query: $query" > "$reply" ;;
            esac
          done
        EOT
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "shop" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-ec", <<-EOT
          queue="${local.queue}"
          until [ -p "$queue" ]; do sleep 0.1; done
          mkfifo "$NOMAD_ALLOC_DIR/tmp/reply"
          echo "role-of-app $NOMAD_ALLOC_DIR/tmp/reply" > "$queue"
          read -r role < "$NOMAD_ALLOC_DIR/tmp/reply"
          echo "the shop is a $role"
          exec sleep 86400
        EOT
        ]
      }

      env {
        DATABASE = "${NOMAD_JOB_NAME}.${NOMAD_GROUP_NAME}"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
