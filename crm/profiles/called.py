"""What a person goes by in a list."""

from __future__ import annotations

# over `profiles p`: the name, else an address, else the user id; empty where there is none of them, and nobody is known by anything
CALLED = (
    "coalesce(nullif(p.name, ''), (SELECT value FROM identities WHERE profile_id = p.id AND kind IN ('email', 'phone', 'wa_id', 'user_id')"
    " ORDER BY array_position(ARRAY['email', 'phone', 'wa_id', 'user_id'], kind), value LIMIT 1), '')"
)
