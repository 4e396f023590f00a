"""A file that cannot be executed."""

import no_such_package_of_evenflow

network = no_such_package_of_evenflow.network
