"""Which permission is for what, which role has it, and the command that grants it.

Sources: BigQuery "Access control: predefined roles", and PostHog's set-up of batch exports for the list.
"""

from __future__ import annotations

#: What batch exports need, in the order of the set-up. The last one is for models that change (MERGE, clean-up).
BATCH_EXPORT = (
    "bigquery.jobs.create",
    "bigquery.datasets.get",
    "bigquery.tables.create",
    "bigquery.tables.get",
    "bigquery.tables.getData",
    "bigquery.tables.list",
    "bigquery.tables.updateData",
)
OPTIONAL = ("bigquery.tables.delete",)

_PROJECT_ROLES = {
    "bigquery.jobs.create": "roles/bigquery.jobUser",
    "bigquery.jobs.get": "roles/bigquery.resourceViewer",  # another account's job; one's own need nothing
    "bigquery.datasets.create": "roles/bigquery.user",
    "bigquery.readsessions.create": "roles/bigquery.readSessionUser",
}
_DATASET_ROLE = "roles/bigquery.dataEditor"


def hint(permission: str, project: str, dataset: str | None, account: str | None) -> str:
    """What to do about a missing permission: the role that has it, and the command that gives it to the account."""
    who = f"serviceAccount:{account}" if account else "serviceAccount:ACCOUNT_EMAIL"
    if role := _PROJECT_ROLES.get(permission):
        return (
            f"Grant {role} on the project:\n"
            f'gcloud projects add-iam-policy-binding {project} --member="{who}" --role="{role}"'
        )
    if permission == "iam.serviceAccounts.getAccessToken":
        return (
            "Allow the caller to act as that account:\n"
            f"gcloud iam service-accounts add-iam-policy-binding {account or 'ACCOUNT_EMAIL'} "
            '--member="CALLER" --role="roles/iam.serviceAccountTokenCreator"'
        )
    return (
        f"Grant {_DATASET_ROLE} on the dataset (it has {permission}), in BigQuery:\n"
        f'GRANT `{_DATASET_ROLE}` ON SCHEMA `{project}.{dataset or "DATASET"}` TO "{who}";'
    )
