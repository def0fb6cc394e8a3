"""Customers in a process of their own, so that what they cost is not counted as the service's.

    python -m project.bench.talkers

Reads a JSON line that says who they are (with the key: it stands in no process list), then orders, a
line each: `{"grow": 5}`, `{"report": [since, until]}`, `{"forget": before}`, `{"stop": true}`. Each is
answered by one line. When its input ends everybody hangs up. Moments are monotonic seconds, which all
processes of a machine share.
"""

import asyncio
import json
import sys
import time
from typing import Any

import httpx

from project import collector
from project.bench.customers import Service, web
from project.bench.talking import Customer, Habits

LAG_EVERY = 0.05
STOP_SECONDS = 30.0


class Talkers:
    """The customers of this process."""

    def __init__(self, plan: dict[str, Any], http: httpx.AsyncClient) -> None:
        self._service = Service(**plan["service"])
        self._habits = Habits(**plan["habits"])
        self._first = int(plan.get("first", 0))
        self._read_cards = bool(plan.get("read_cards"))
        self._http = http
        self.customers: list[Customer] = []
        self._lags: list[tuple[float, float]] = []

    async def grow(self, count: int) -> dict[str, Any]:
        """Add so many customers, one after the other."""
        for _ in range(count):
            number = self._first + len(self.customers)
            customer = Customer(self._service, self._http, self._habits, number, self._read_cards)
            self.customers.append(customer)
            await customer.start()
        collector.settle()  # or what holds this process up is taken for a pause of everybody's picture
        return {"customers": len(self.customers)}

    def report(self, since: float, until: float) -> dict[str, Any]:
        lags = [lag for at, lag in self._lags if since <= at < until]
        return {
            "customers": [customer.report(since, until) for customer in self.customers],
            "cpu_seconds": time.process_time(),
            "lag_ms": 1000 * max(lags, default=0.0),
        }

    def forget(self, before: float) -> dict[str, Any]:
        for customer in self.customers:
            customer.forget(before)
        self._lags = [(at, lag) for at, lag in self._lags if at >= before]
        return {}

    async def stop(self) -> dict[str, Any]:
        await asyncio.gather(*(customer.stop() for customer in self.customers))
        return {}

    async def watch_lag(self) -> None:
        """Note how late this process itself was: then what it saw late was not the service's doing."""
        while True:
            at = time.monotonic()
            await asyncio.sleep(LAG_EVERY)
            self._lags.append((at, time.monotonic() - at - LAG_EVERY))

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if "grow" in order:
            return await self.grow(int(order["grow"]))
        if "report" in order:
            since, until = order["report"]
            return self.report(since, until)
        if "forget" in order:
            return self.forget(order["forget"])
        return {}


async def serve() -> None:
    """Take orders until the input ends."""
    loop = asyncio.get_running_loop()
    plan = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    async with web() as http:
        talkers = Talkers(plan, http)
        lag = asyncio.create_task(talkers.watch_lag())
        try:
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                order = json.loads(line)
                if "stop" in order:
                    break
                print(json.dumps(await talkers.obey(order)), flush=True)
        finally:
            lag.cancel()
            async with asyncio.timeout(STOP_SECONDS):
                print(json.dumps(await talkers.stop()), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
