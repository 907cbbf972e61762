"""Let modules for hosts be imported as Ansible's own importer would let them."""

from __future__ import annotations

import sys

import settings
import settings.base
import settings.files

for name, module in (("", settings), (".base", settings.base), (".files", settings.files)):
    sys.modules[f"ansible.module_utils.settings{name}"] = module
