"""The HTTP API, version 1. FastAPI is imported with it: when the first request comes.

How a resource is added: a module with a `router`, and a line in `application.py`. It parses, calls a service, and says
what came of it; no SQL, and no rule of the business. What all of them need is here, once:

- **Who asks** (`access.py`). ``Reader = Annotated[Caller, Depends(caller(Permission.EXPORTS_READ))]``; a route has
  ``by: Reader``, calls ``by.app.exports.get(name)`` and says ``by=by.by``. `by.app` is the installation as far as the
  token may use it (`tidemill.acting`): each call of a service is authorised, and what changes something is written into
  the audit log. The permission that is named here is for the description, and for a refusal before anything is looked
  up. Never take `request.app.state.opened` for what somebody asked for.
- **Lists** (`pages.py`). ``wanted: Wanted`` are `cursor` and `limit` of the query; the service's method takes it and
  gives a `tidemill.paging.Page`, made by `tidemill.store.keyset.page`, never by OFFSET; ``pages.of(page, made)`` is the
  answer, a ``Listed[Item]``: ``{"items": […], "next": cursor or null}``. Filters are query parameters of their own; the
  store puts all of them into `which`, so that a cursor fits one list alone.
- **ETags** (`tags.py`). A single resource is answered by ``tags.answer(made, request, response)`` (304, if the client
  has it already), and is made of what is stored alone: how it stands at the moment belongs to an address of its own
  (``…/status``), or nobody's tag would ever match. PATCH and DELETE have ``match: Match`` and call
  ``match.check(made)`` with what GET would answer now (428, 412). Between that and the change somebody may be quicker:
  the service takes ``as_of=`` (the `updated_at` of what was looked at), which `store.named.Named` holds against the row
  in the statement that changes it.
- **Calls that are made again** (`once.py`). Nothing to do: any POST with an Idempotency-Key is done once.
- **Long work**. What takes more than a moment is begun by a POST that answers 202, and a worker does it: a run, or an
  operation (`operations.py`, `tidemill.operations`), which is done to its end whoever dies. What has to be
  waited for (a test, a query in BigQuery) has ``dependencies=[SLOWLY]`` (`turns.py`): quick calls do not wait for it.
- **Progress** (`events.py`). ``events.stream(request, look, key, state)``: Server-Sent Events; one task of the process
  asks how all stands that anybody watches, by one call of `look` for all of a kind.
- **Errors** (`problems.py`). Raise those of `tidemill.errors`; their class says the status. ``problems_of(409)``
  describes what may come.
- **Fields** (`schemas.py`). ``name: str = schemas.of(ExportSpec, "name", examples=["daily"])`` takes description and
  bounds of a field from the spec that the command line and the forms use, too. Models of requests and answers have
  names that no other module has: they are the names of classes in generated clients.
"""
