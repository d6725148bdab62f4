"""dbt projects: their models as source models, and what a change of them would break."""
