"""What is granted to a connection's account, as a file of Terraform (provider hashicorp/google)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tidemill.bigquery.needs import Needs


@dataclasses.dataclass(frozen=True)
class Granted:
    """To whom is granted what. Names are checked by who gives them. `account`: None: it is made, too."""

    project: str
    dataset: str
    account: str | None
    location: str | None
    needs: Needs


def of(granted: Granted) -> str:
    """The file."""
    blocks = []
    if granted.account is None:
        fields = [("project", granted.project), ("account_id", "tidemill"), ("display_name", "Tidemill")]
        blocks.append(_block("google_service_account", "tidemill", fields))
    blocks.append(_dataset("tidemill", granted, granted.dataset))
    blocks += _roles(granted)
    if granted.needs.state_dataset:
        blocks.append(_dataset("tidemill_state", granted, granted.needs.state_dataset))
        blocks.append(_on_dataset("tidemill_state", granted, _text(granted.needs.on_state)))
    return "\n".join(blocks)


def _roles(granted: Granted) -> list[str]:
    project, own = _text(granted.project), granted.needs.own
    blocks = []
    for role in granted.needs.on_project:
        name = "tidemill_" + role.rpartition(".")[2].lower()
        blocks.append(
            _member("google_project_iam_member", name, [("project", project), ("role", _text(role))], granted)
        )
    if own is None:
        return blocks
    fields = [("project", granted.project), ("role_id", own.name), ("title", own.title)]
    blocks.append(_block("google_project_iam_custom_role", "tidemill", fields, permissions=own.permissions))
    made = "google_project_iam_custom_role.tidemill.name"
    if granted.needs.is_on_dataset:
        blocks.append(_on_dataset("tidemill", granted, made))
    else:
        own_fields = [("project", project), ("role", made)]
        blocks.append(_member("google_project_iam_member", "tidemill_own", own_fields, granted))
    return blocks


def _dataset(name: str, granted: Granted, dataset: str) -> str:
    """A dataset. Terraform does not take one that is there already: it says how to have it import that."""
    fields = [("project", granted.project), ("dataset_id", dataset), ("location", granted.location or "EU")]
    there = f"# If it is there already: terraform import google_bigquery_dataset.{name} {granted.project}/{dataset}\n"
    return there + _block("google_bigquery_dataset", name, fields)


def _on_dataset(name: str, granted: Granted, role: str) -> str:
    made = f"google_bigquery_dataset.{name}.dataset_id"
    fields = [("project", _text(granted.project)), ("dataset_id", made), ("role", role)]
    return _member("google_bigquery_dataset_iam_member", name, fields, granted)


def _member(kind: str, name: str, fields: Sequence[tuple[str, str]], granted: Granted) -> str:
    who = _text(f"serviceAccount:{granted.account}") if granted.account else "google_service_account.tidemill.member"
    return _written(kind, name, [*fields, ("member", who)])


def _block(kind: str, name: str, fields: Sequence[tuple[str, str]], *, permissions: Sequence[str] = ()) -> str:
    lines = [(key, _text(value)) for key, value in fields]
    if permissions:
        listed = "".join(f"    {_text(one)},\n" for one in permissions)
        lines.append(("permissions", f"[\n{listed}  ]"))
    return _written(kind, name, lines)


def _written(kind: str, name: str, fields: Sequence[tuple[str, str]]) -> str:
    """A block, with its equal signs one below the other, as `terraform fmt` has them."""
    widest = max(len(key) for key, _ in fields)
    lines = "".join(f"  {key:<{widest}} = {value}\n" for key, value in fields)
    return f'resource "{kind}" "{name}" {{\n{lines}}}\n'


def _text(value: str) -> str:
    """A text, as Terraform has it: what looks like a template is none."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
