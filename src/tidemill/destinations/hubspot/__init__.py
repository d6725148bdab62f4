"""HubSpot: objects of a CRM, and the lists that they are on."""
