"""All campaigns, by name.  A new parser, queue or table of a daemon gets its case in one."""

from tests.hostile.containers_campaign import ContainersCampaign
from tests.hostile.datapath_campaign import DatapathCampaign
from tests.hostile.frames_campaign import FramesCampaign
from tests.hostile.monitoring_campaign import MonitoringCampaign
from tests.hostile.openflow_campaign import OpenflowCampaign
from tests.hostile.ovsdb_campaign import OvsdbCampaign
from tests.hostile.unixctl_campaign import SwitchUnixctlCampaign, UnixctlCampaign

CAMPAIGNS = {
    each.name: each
    for each in (
        OvsdbCampaign,
        OpenflowCampaign,
        UnixctlCampaign,
        SwitchUnixctlCampaign,
        DatapathCampaign,
        FramesCampaign,
        MonitoringCampaign,
        ContainersCampaign,
    )
}
