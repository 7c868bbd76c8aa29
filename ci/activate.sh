# Sourced by the scripts beside it: `use_env EXTRA` makes the environment ready and puts it first on the PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

use_env() {
    "${PYTHON:-python3}" ci/env.py "$1"
    PATH="$("${PYTHON:-python3}" ci/env.py --path)/bin:$PATH"
    export PATH
    unset PYTHONPATH PYTHONHOME
}
