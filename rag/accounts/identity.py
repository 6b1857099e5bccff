"""Who the claims of a provider's token speak of: a user here, made when he comes for the first time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rag.accounts.accounts import EVERYONE, Accounts
from rag.accounts.names import is_plain
from rag.accounts.roles import Role
from rag.accounts.users import SignIn, User
from rag.errors import AlreadyExists, Unauthorised
from rag.settings import OidcSettings


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the provider vouches for him now. `roles` None: it says nothing about them."""

    user: User
    groups: tuple[str, ...]
    roles: tuple[Role, ...] | None


class Identities:
    """Claims become users of one tenant, by the rules of [oidc]."""

    def __init__(self, settings: OidcSettings, accounts: Accounts) -> None:
        self.settings, self.accounts = settings, accounts

    def of(self, claims: dict[str, Any]) -> Identity:
        """The user of these claims, entered when he comes for the first time. Raises Unauthorised."""
        ours = self.settings
        name = claims.get(ours.user_claim)
        if not is_plain(name) or (ours.user_claim == "email" and claims.get("email_verified") is not True):
            raise Unauthorised(
                f"the token names no user: its claim {ours.user_claim!r} is missing or unproven"
            )
        user = self.accounts.users.named(str(name), ours.tenant) or self._enter(str(name))
        if user.sign_in is not SignIn.OIDC:
            # Otherwise whoever may choose his name there could take over an account of ours.
            raise Unauthorised(f"{name!r} is an account for keys; ask an administrator for another name")
        if user.suspended:
            raise Unauthorised("this account is suspended; ask an administrator")
        groups = tuple(each for each in listed(claims, ours.groups_claim) if is_plain(each))
        roles = None
        if ours.roles_claim:
            said = listed(claims, ours.roles_claim)
            roles = tuple(Role(ours.roles[each]) for each in said if each in ours.roles)
        return Identity(user, groups, roles)

    def _enter(self, name: str) -> User:
        ours = self.settings
        try:
            user = self.accounts.users.create(
                name, ours.tenant, role=Role(ours.new_role), sign_in=SignIn.OIDC
            )
        except AlreadyExists:  # another request of his was faster
            known = self.accounts.users.named(name, ours.tenant)
            assert known is not None
            return known
        if ours.everyone:
            self.accounts.groups.put_in(user.id, ours.tenant, [EVERYONE])
        self.accounts.audit.record("user.create", "sign-in", object=user.id, tenant=ours.tenant)
        return user


def listed(claims: dict[str, Any], name: str) -> list[Any]:
    """The values of a claim; a single one, or words with spaces between, count as a list."""
    found = claims.get(name) if name else None
    if isinstance(found, str):
        return found.split()
    return found if isinstance(found, list) else []
